"""The supervisor of `serve --workers N`: N server processes behind one listening socket.

The supervisor accepts connections, sends each to the worker that has the fewest, and replaces workers that end or hang.
(If processes accept from a shared socket, the kernel wakes the same one again and again.) Once a connection is sent to
a worker, the supervisor has no part in it.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from typing import NoReturn

from eventstreams_site.config.config import Config
from eventstreams_site.server import descriptors, handover, signals
from eventstreams_site.server.descriptors import Places
from eventstreams_site.server.handover import State
from eventstreams_site.server.listening import Acceptor, listen
from eventstreams_site.server.worker import Worker

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
MAX_RESTART_SECONDS = 30.0
"""A worker that ended is replaced after the first; the wait doubles up to the second while that fails at once."""
SETTLED_SECONDS = 10.0
"""A worker that has lived this long did not fail at once."""
SILENT_SECONDS = 3.0
"""A worker that has not reported for this time gets no connections."""
HUNG_SECONDS = 15.0
"""A worker that has not reported for this time writes its stacks, and is replaced."""
STARTING_SECONDS = 120.0
"""The first report of a worker may take this long: it imports everything first."""
DUMP_SECONDS = 1.0
"""Time to write the stacks."""
LOOK_SECONDS = 0.5
"""Seconds between two looks at the workers."""
STOP_SECONDS = 2.7
"""Seconds after the drain at which workers that are left write their stacks, and are killed."""
STOP_DUMP_SECONDS = 0.3


def run_workers(config: Config, host: str, port: int, count: int) -> NoReturn:
    """Run `count` workers until they are stopped, then end the process. Raises ListenError.

    To be called before anything has an event loop or a thread: workers are forked.
    """
    config, places = descriptors.bounded(config)
    listener = listen(host, port)
    log.info("Listening on http://%s:%s with %s workers", *listener.getsockname()[:2], count)
    Supervisor(config, places, listener, count).run()
    signals.end(0)


class Supervisor:
    """Accepts for the workers, and looks after them."""

    def __init__(self, config: Config, places: Places, listener: socket.socket, count: int) -> None:
        self._config = config
        self._places = places
        self._listener = listener
        self._acceptor = Acceptor(listener, self._tell_of_failure)
        self._accepted: socket.socket | None = None
        """A connection that no worker could be sent yet: nothing else is accepted before it."""
        self._workers: dict[int, Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._is_accepting = False
        self._start_at = [0.0] * count
        """When workers are to be started (time.monotonic)."""
        self._restart_seconds = RESTART_SECONDS
        self._looked_at = time.monotonic()
        self._stop_at: float | None = None
        """When those that are left are killed; None until they are told to stop."""
        self._wake, self._waker = socket.socketpair()

    def run(self) -> None:
        """Run until a signal stops it and all workers have ended."""
        for each in (self._wake, self._waker):
            each.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (*signals.STOP, *signals.IGNORED, signals.STACKS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signals.dump_stacks_on_signal(chain=True)
        self._selector.register(self._wake, selectors.EVENT_READ)
        while self._stop_at is None or self._workers:
            self._look_after_workers(time.monotonic())
            self._accept_or_not(time.monotonic())
            for key, _ in self._selector.select(self._seconds_to_wait(time.monotonic())):
                if key.fileobj is self._wake:
                    self._handle_signals(self._wake.recv(1024))
                elif key.fileobj is self._listener:
                    self._accept()
                elif not key.data.hear(time.monotonic()):
                    self._selector.unregister(key.fileobj)

    # Connections.

    def _accept(self) -> None:
        if not self._takers(time.monotonic()):  # a report has come meanwhile
            return
        for connection in self._acceptor.accept():
            self._accepted = connection
            if not self._send_accepted() or not self._takers(time.monotonic()):
                return

    def _send_accepted(self) -> bool:
        """Send the accepted connection to a worker, if there is one; return False if none can take it now."""
        if self._accepted is not None:
            now = time.monotonic()
            if not any(worker.send(self._accepted, now) for worker in self._takers(now)):
                return False
            self._accepted.close()
            self._accepted = None
        return True

    def _tell_of_failure(self, why: str) -> None:
        for worker in self._workers.values():
            handover.tell_of_failure(worker.channel, why)

    def _takers(self, now: float) -> list[Worker]:
        """Workers that take connections, the one with the fewest first."""
        takers = [worker for worker in self._workers.values() if worker.takes(State.READY)]
        if not takers:  # nobody is left who could serve: who comes is at least told why
            takers = [worker for worker in self._workers.values() if worker.takes(State.DRAINING)]
        return sorted(takers, key=lambda worker: (worker.is_late(now), worker.load))

    def _accept_or_not(self, now: float) -> None:
        """Accept while someone takes what comes; else it waits in the backlog."""
        wanted = self._send_accepted() and now >= self._acceptor.paused_until and bool(self._takers(now))
        if wanted is not self._is_accepting:
            self._is_accepting = wanted
            if wanted:
                self._selector.register(self._listener, selectors.EVENT_READ)
            else:
                self._selector.unregister(self._listener)

    def _seconds_to_wait(self, now: float) -> float:
        due = [self._acceptor.paused_until, *self._start_at[:1], self._stop_at or 0.0]
        due += [worker.kill_at for worker in self._workers.values() if worker.kill_at is not None]
        return min([LOOK_SECONDS, *(each - now for each in due if each > now)])

    # Workers.

    def _look_after_workers(self, now: float) -> None:
        if now - self._looked_at > 4 * LOOK_SECONDS:  # this process itself was stopped, perhaps together with them
            for worker in self._workers.values():
                worker.heard_at = now if worker.heard_at is not None else None
                worker.started_at = now
        self._looked_at = now
        for worker in list(self._workers.values()):
            if not self._has_ended(worker, now):
                self._judge(worker, now)
        while self._start_at and self._start_at[0] <= now:
            self._start_at.pop(0)
            self._start_worker(now)

    def _judge(self, worker: Worker, now: float) -> None:
        """Route around a worker that hangs, replace it in the end; replace one that was told to stop."""
        if worker.kill_at is not None:
            if now >= worker.kill_at:
                worker.signal(signal.SIGKILL)
            return
        if self._stop_at is not None:
            if now >= self._stop_at:
                self._end(worker, "has not stopped", now + STOP_DUMP_SECONDS)
            return
        if worker.report.state in (State.DRAINING, State.CLOSED) and worker.heard_at is not None:
            self._replace(worker, now)
        limit = HUNG_SECONDS if worker.heard_at is not None else STARTING_SECONDS
        silent_for = now - (worker.heard_at if worker.heard_at is not None else worker.started_at)
        is_silent = worker.heard_at is not None and silent_for > SILENT_SECONDS
        if is_silent is not worker.is_silent:
            worker.is_silent = is_silent
            if is_silent:
                log.warning(
                    "Worker %s has not reported for %.0f s: new connections go to the others", worker.pid, silent_for
                )
            else:
                log.warning("Worker %s reports again", worker.pid)
        if silent_for > limit:
            self._end(worker, "has not reported for %.0f s" % silent_for, now + DUMP_SECONDS)
            self._replace(worker, now)

    def _end(self, worker: Worker, why: str, kill_at: float) -> None:
        """Have it write its stacks, and kill it."""
        log.error("Worker %s %s: its stacks follow, then it is killed", worker.pid, why)
        worker.signal(signals.STACKS, signal.SIGCONT)
        worker.kill_at = kill_at

    def _replace(self, worker: Worker, at: float) -> None:
        """Start another one in its place, once."""
        if not worker.is_replaced and self._stop_at is None:
            worker.is_replaced = True
            self._start_at.append(at)
            self._start_at.sort()

    def _has_ended(self, worker: Worker, now: float) -> bool:
        ended, status = os.waitpid(worker.pid, os.WNOHANG)
        if not ended:
            return False
        del self._workers[worker.pid]
        if worker.is_open:
            self._selector.unregister(worker.channel)
        worker.channel.close()
        code = os.waitstatus_to_exitcode(status)
        if self._stop_at is None and not worker.is_replaced:
            wait = self._next_wait(now - worker.started_at)
            log.error("Worker %s exited with %s; restarting in %.0f s", worker.pid, code, wait)
            self._replace(worker, now + wait)
        else:
            log.info("Worker %s exited with %s", worker.pid, code)
        return True

    def _next_wait(self, lived: float) -> float:
        wait = RESTART_SECONDS if lived > SETTLED_SECONDS else self._restart_seconds
        self._restart_seconds = min(2 * wait, MAX_RESTART_SECONDS)
        return wait

    def _start_worker(self, now: float) -> None:
        try:
            ours, theirs = handover.channel()
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                theirs.close()
                raise
        except OSError as error:
            wait = self._next_wait(0.0)
            log.error("Cannot start a worker: %s; retrying in %.0f s", error, wait)
            self._start_at.append(now + wait)
            self._start_at.sort()
            return
        if not pid:
            for each in (ours, self._listener, self._wake, self._waker, *(w.channel for w in self._workers.values())):
                each.close()
            self._selector.close()
            _work(self._config, self._places, theirs)
        theirs.close()
        worker = self._workers[pid] = Worker(pid, ours, now)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    # Signals.

    def _handle_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in signals.STOP:
                self._stop(number)
            elif number == signals.STACKS:
                for worker in self._workers.values():
                    worker.signal(signals.STACKS)
            elif number in signals.IGNORED:
                signals.ignore(number)

    def _stop(self, number: int) -> None:
        if self._stop_at is not None:
            log.warning("%s again: ending at once", signal.Signals(number).name)
            for worker in self._workers.values():
                worker.signal(signal.SIGKILL)
            deadline = time.monotonic() + STOP_DUMP_SECONDS
            while any(not self._has_ended(each, 0.0) for each in [*self._workers.values()]):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            signals.end(1)
        # Newcomers are still handed on, and are told by the workers that the service is draining.
        self._stop_at = time.monotonic() + self._config.drain_seconds + STOP_SECONDS
        self._start_at.clear()
        log.info("Stopping: %s workers end their streams", len(self._workers))
        for worker in self._workers.values():
            if worker.heard_at is None or not handover.tell_to_stop(worker.channel):
                worker.signal(signal.SIGTERM)


def _work(config: Config, places: Places, channel: socket.socket) -> NoReturn:
    """All that a worker does: it never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signals.at_start()
        from eventstreams_site.server.server import serve_connections  # noqa: PLC0415 (it imports the reactor)

        serve_connections(config, places, channel)
        status = 0
    except Exception:
        log.exception("Worker %s failed", os.getpid())
    finally:
        signals.end(status)
