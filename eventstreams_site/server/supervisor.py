"""The supervisor of `serve --workers N`: N server processes behind one listening socket.

The supervisor accepts connections and sends each to the worker that has the fewest. (If processes accept from a shared
socket, the kernel wakes the same one again and again.) Once a connection is sent to a worker, the supervisor has no
part in it. `fleet.py` looks after the workers; `operations.py` answers for all of them on the operations port.

This process is small, and lives as long as the service: neither it nor what it imports uses Django, the engine or an
event loop. What needs them to check a configuration runs in a separate process (`check.py`).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import logging.config
import os
import selectors
import signal
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any, NoReturn

from eventstreams_site.core_dumps import forbid_core_dumps
from eventstreams_site.logs.configuration import configuration, level_of
from eventstreams_site.logs.lines import Style, take_standard_streams
from eventstreams_site.server import descriptors, handover, signals
from eventstreams_site.server.check import Check, Checked
from eventstreams_site.server.fleet import LOOK_SECONDS, Fleet
from eventstreams_site.server.handover import State
from eventstreams_site.server.listening import AcceptFailures, Acceptor, ListenError, listen
from eventstreams_site.server.operations import Operations
from eventstreams_site.server.reloading import Reloading
from eventstreams_site.server.shared_counts import STOP_SECONDS
from eventstreams_site.server.worker import Worker

log = logging.getLogger(__name__)

_NO_SIGNAL = b"\0"


def supervise(options: Namespace) -> NoReturn:
    """Run the workers that the options of `serve` ask for until they are stopped, then end the process."""
    logging.config.dictConfig(configuration(_level()))
    Style.use("auto")
    Style.worker = "supervisor"
    forbid_core_dumps()
    descriptors.raise_limit()  # its processes inherit it
    checked = _checked()
    Style.use(checked.log_format)
    ops_listener = None
    try:
        listener = listen(options.host, options.port)
        if options.ops_port is not None:
            ops_listener = listen(options.ops_host, options.ops_port)
    except ListenError as error:
        _fail(str(error))
    take_standard_streams()
    workers = f"{options.workers} workers" if options.workers > 1 else "1 worker"
    log.info("Listening on http://%s:%s with %s", *listener.getsockname()[:2], workers)
    if ops_listener is not None:
        log.info("Operations port: http://%s:%s", *ops_listener.getsockname()[:2])
    Supervisor(checked, listener, options.workers, ops_listener).run()
    signals.end(0)


def _level() -> str:
    try:
        return level_of(os.environ)
    except ValueError:  # the check will refuse it
        return "INFO"


def _checked() -> Checked:
    """Return the configuration, or end the process: its stderr says why."""
    check = Check()
    while not check.read():
        pass
    result = check.result(1)
    if isinstance(result, Checked):
        return result
    if check.status < 0 and not result:
        result = f"The check of the configuration ended with signal {-check.status}"
    if result:
        _fail(result)
    sys.exit(check.status)  # it has said why, or has printed its help


def _fail(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(1)


class Supervisor:
    """Accepts for the workers, and answers for them."""

    def __init__(
        self,
        config: Checked,
        listener: socket.socket,
        count: int,
        ops_listener: socket.socket | None = None,
    ) -> None:
        self._listener = listener
        self._accept_failures = AcceptFailures()
        self._acceptor = Acceptor(listener, self._tell_of_failure)
        self._accepted: socket.socket | None = None
        """A connection that no worker could be sent yet: nothing else is accepted before it."""
        self._selector = selectors.DefaultSelector()
        """The data of each key is called when its file is ready."""
        self._is_accepting = False
        self.fleet = Fleet(config, count, watch=self._watch, unwatch=self._unwatch)
        self._reloading = Reloading(self.fleet, self._selector)
        self._wake, self._waker = socket.socketpair()
        self._operations = Operations(self.fleet, self._accept_failures, self._reloading.begin, self._wake_up)
        self._ops = self._operations.serve(self._selector, ops_listener) if ops_listener is not None else None

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
            self._look(time.monotonic())
            for key, _ in self._selector.select(self._seconds_to_wait(time.monotonic())):
                if self._is_registered(key.fileobj):  # an earlier call may have closed it
                    self._call(key.data)
        self._operations.limits.close()
        if self._operations.limits.shared is not None:
            self._operations.limits.shared.wait_until_closed(self.fleet.stops_at - time.monotonic())

    def _look(self, now: float) -> None:
        """Do what is due, part by part: a fault in one of them does not keep the others from it."""
        if now > self.fleet.stops_at - STOP_SECONDS:  # after the last worker there may be no time
            self._call(self._operations.limits.close)
        for look in (self.fleet.look, self._accept_or_not, self._operations.look, self._reloading.look):
            self._call(functools.partial(look, now))
        if self._ops is not None:
            self._call(functools.partial(self._ops.close_late, now))

    def _wake_up(self) -> None:
        with contextlib.suppress(OSError):  # it is full, and wakes the supervisor anyway
            self._waker.send(_NO_SIGNAL)

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
        """Return the workers that take connections, the one with the fewest first; none while they are to wait."""
        if self.fleet.is_gathering(now):
            return []
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

    # Signals.

    def _handle_signals(self) -> None:
        for number in self._wake.recv(1024):
            if number in signals.STOP:
                self._stop(number)
            elif number == signals.STACKS:
                for worker in self.fleet.workers.values():
                    worker.signal(signals.STACKS)
            elif number == signals.RELOAD:
                self._reloading.begin(lambda _: None)
            elif number in signals.IGNORED:
                signals.ignore(number)

    def _stop(self, number: int) -> None:
        if self.fleet.is_stopping:
            self._reloading.close()
            log.warning("%s again: ending at once", signal.Signals(number).name)
            self.fleet.kill()
            signals.end(1)
        self._reloading.close()
        # Newcomers are still sent to the workers, which tell them that the service is draining.
        log.info("Stopping: %s workers end their streams", len(self.fleet.workers))
        self.fleet.stop(time.monotonic())
