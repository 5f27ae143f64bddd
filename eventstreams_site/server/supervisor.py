"""The supervisor of `serve --workers N`: N server processes behind one listening socket.

The supervisor accepts connections and sends each to the worker that has the fewest. (If processes accept from a shared
socket, the kernel wakes the same one again and again.) Once a connection is sent to a worker, the supervisor has no
part in it. `fleet.py` looks after the workers; `operations.py` answers for all of them on the operations port.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from eventstreams_site.config.config import Config, ConfigError, load_config
from eventstreams_site.server import descriptors, handover, signals
from eventstreams_site.server.descriptors import Places
from eventstreams_site.server.fleet import LOOK_SECONDS, Fleet
from eventstreams_site.server.handover import State
from eventstreams_site.server.listening import AcceptFailures, Acceptor, ListenError, listen
from eventstreams_site.server.operations import Operations
from eventstreams_site.server.worker import Worker

log = logging.getLogger(__name__)


def run_workers(config: Config, host: str, port: int, count: int, ops: tuple[str, int] | None = None) -> NoReturn:
    """Run `count` workers until they are stopped, then end the process. Raises ListenError.

    `ops` is the address of the operations port. Call it before anything has an event loop or a thread: workers are
    forked.
    """
    config, places = descriptors.bounded(config, count)
    listener = listen(host, port)
    ops_listener = listen(*ops) if ops is not None else None
    log.info("Listening on http://%s:%s with %s workers", *listener.getsockname()[:2], count)
    if ops_listener is not None:
        log.info("Operations port: http://%s:%s", *ops_listener.getsockname()[:2])
    Supervisor(config, places, listener, count, ops_listener).run()
    signals.end(0)


class Supervisor:
    """Accepts for the workers, and answers for them."""

    def __init__(
        self,
        config: Config,
        places: Places,
        listener: socket.socket,
        count: int,
        ops_listener: socket.socket | None = None,
    ) -> None:
        self._places = places
        self._listener = listener
        self._accept_failures = AcceptFailures()
        self._acceptor = Acceptor(listener, self._tell_of_failure)
        self._accepted: socket.socket | None = None
        """A connection that no worker could be sent yet: nothing else is accepted before it."""
        self._selector = selectors.DefaultSelector()
        """The data of each key is called when its file is ready."""
        self._is_accepting = False
        self.fleet = Fleet(config, count, fork=self._fork, watch=self._watch, unwatch=self._unwatch)
        self._operations = Operations(self.fleet, self._accept_failures, self.reload)
        self._ops = self._operations.serve(self._selector, ops_listener) if ops_listener is not None else None
        self._wake, self._waker = socket.socketpair()

    def run(self) -> None:
        """Run until a signal stops it and all workers have ended."""
        for each in (self._wake, self._waker):
            each.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (*signals.STOP, *signals.IGNORED, signals.STACKS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signals.dump_stacks_on_signal(chain=True)
        self._selector.register(self._wake, selectors.EVENT_READ, self._handle_signals)
        while not self.fleet.is_stopping or self.fleet.workers:
            now = time.monotonic()
            self.fleet.look(now)
            self._accept_or_not(now)
            self._operations.look(now)
            if self._ops is not None:
                self._ops.close_late(now)
            for key, _ in self._selector.select(self._seconds_to_wait(time.monotonic())):
                if self._is_registered(key.fileobj):  # an earlier call may have closed it
                    self._call(key.data)

    def _is_registered(self, file: Any) -> bool:
        try:
            return file in self._selector.get_map()
        except ValueError:  # it is closed
            return False

    def _call(self, due: Callable[[], None]) -> None:
        try:
            due()
        except Exception:  # one fault must not end all workers
            log.exception("The supervisor failed at something")

    def _seconds_to_wait(self, now: float) -> float:
        due = [self._acceptor.paused_until, *self.fleet.next_due()]
        return min([LOOK_SECONDS, *(each - now for each in due if each > now)])

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
        self._accept_failures.note(why)
        for worker in self.fleet.workers.values():
            handover.tell_of_failure(worker.channel, why)

    def _takers(self, now: float) -> list[Worker]:
        """Return the workers that take connections, the one with the fewest first."""
        workers = self.fleet.workers.values()
        takers = [worker for worker in workers if worker.takes(State.READY)]
        if not takers:  # no worker serves: newcomers are at least told why
            takers = [worker for worker in workers if worker.takes(State.DRAINING)]
        ready = [worker for worker in takers if worker.is_ready]
        return sorted(ready or takers, key=lambda worker: (worker.is_late(now), worker.load))

    def _accept_or_not(self, now: float) -> None:
        """Accept while a worker takes connections; otherwise they wait in the backlog."""
        wanted = self._send_accepted() and now >= self._acceptor.paused_until and bool(self._takers(now))
        if wanted is not self._is_accepting:
            self._is_accepting = wanted
            if wanted:
                self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            else:
                self._selector.unregister(self._listener)

    # Workers.

    def _watch(self, worker: Worker) -> None:
        def hear() -> None:
            if not worker.hear(time.monotonic()):
                self._selector.unregister(worker.channel)

        def receive() -> None:
            try:
                messages = worker.control.receive()
            except EOFError:
                self._selector.unregister(worker.control.socket)
                return
            for message in messages:
                self._operations.heard(worker, message)

        self._selector.register(worker.channel, selectors.EVENT_READ, hear)
        self._selector.register(worker.control.socket, selectors.EVENT_READ, receive)

    def _unwatch(self, worker: Worker) -> None:
        for each in (worker.channel, worker.control.socket):
            if self._is_registered(each):
                self._call(self._selector.get_key(each).data)  # what it said last
            if self._is_registered(each):
                self._selector.unregister(each)
        self._operations.ended(worker)

    def _fork(self, config: Config, channel: socket.socket, control: socket.socket) -> int:
        pid = os.fork()
        if not pid:
            self._become(config, channel, control)
        return pid

    def _become(self, config: Config, channel: socket.socket, control: socket.socket) -> NoReturn:
        """Be a worker: close what is the supervisor's, and serve."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        for each in (self._listener, self._waker, self._accepted):
            if each is not None:
                each.close()
        self._selector.close()
        _work(config, self._places, channel, control)

    # Signals.

    def _handle_signals(self) -> None:
        for number in self._wake.recv(1024):
            if number in signals.STOP:
                self._stop(number)
            elif number == signals.STACKS:
                for worker in self.fleet.workers.values():
                    worker.signal(signals.STACKS)
            elif number == signals.RELOAD:
                self.reload(lambda _: None)
            elif number in signals.IGNORED:
                signals.ignore(number)

    def reload(self, failed: Callable[[str], None]) -> None:
        """Load the configuration again and replace the workers. If it is wrong, nothing changes; `failed` is called."""
        try:
            config, self._places = descriptors.bounded(load_config(os.environ), len(self.fleet.slots))
        except (ConfigError, ListenError) as error:
            self.fleet.reload_problem = str(error)
            log.error("The configuration is not reloaded, the old one stays in force: %s", error)
            failed(str(error))
            return
        if not self.fleet.is_stopping:
            self.fleet.reload(config)

    def _stop(self, number: int) -> None:
        if self.fleet.is_stopping:
            log.warning("%s again: ending at once", signal.Signals(number).name)
            self.fleet.kill()
            signals.end(1)
        # Newcomers are still sent to the workers, which tell them that the service is draining.
        log.info("Stopping: %s workers end their streams", len(self.fleet.workers))
        self.fleet.stop(time.monotonic())


def _work(config: Config, places: Places, channel: socket.socket, control: socket.socket) -> NoReturn:
    """Do all that a worker does; it never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signals.at_start()
        from eventstreams_site.server.worker_process import serve_connections  # noqa: PLC0415 (it imports the reactor)

        serve_connections(config, places, channel, control)
        status = 0
    except Exception:
        log.exception("Worker %s failed", os.getpid())
    finally:
        signals.end(status)
