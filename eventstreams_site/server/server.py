"""Daphne's server with what a streaming service needs: backpressure, a reaper that lives, a clean stop.

Each override says which fact about Daphne it answers (docs/architecture.md, "What the framework does").
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import functools
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, NoReturn, Protocol
from urllib.parse import unquote

from daphne.http_protocol import HTTPFactory
from daphne.server import Server
from twisted.internet import defer, reactor
from twisted.logger import globalLogPublisher

from eventstreams_site.config.config import Config
from eventstreams_site.logs.lines import take_warnings
from eventstreams_site.process import Process
from eventstreams_site.routing import application_of
from eventstreams_site.server import descriptors, signals
from eventstreams_site.server.accepting import Listening
from eventstreams_site.server.channel import StreamFactory
from eventstreams_site.server.faults import FaultLog
from eventstreams_site.server.flow import Flow, reset_by_peer
from eventstreams_site.server.listening import ACCEPT_FAILURES, ACCEPT_FAILURES_HELP, AcceptFailures, listen
from eventstreams_site.server.replica_limits import ReplicaLimits
from eventstreams_site.server.request import origin_form
from eventstreams_site.server.room import Room
from eventstreams_site.server.shared_counts import STOP_SECONDS as SHARED_SECONDS
from eventstreams_site.server.shared_counts import SharedCounts
from streams.engine.faults import without_text
from streams.engine.source import RecordSource
from streams.http.headers import is_private
from streams.http.prefix import below
from streams.http.requests import FLOW_EXTENSION
from streams.http.service import ClientGone

log = logging.getLogger(__name__)

CHECK_SECONDS = 10.0
"""Seconds between two searches for applications that still run after their client has left."""
SWITCH_SECONDS = 0.0001
"""Time slice of a thread (sys.setswitchinterval)."""
GC_THRESHOLD = 50_000
"""New objects from which the garbage collector runs."""
M_MMAP_THRESHOLD = -3
LARGE_BYTES = 256 * 1024
STOP_SECONDS = 3.0
"""Maximum seconds from the end of the drain to the end of the process."""
PARTS_SECONDS = 1.8
"""Maximum seconds from the end of the drain to the last answer; what follows it takes less than a second."""
LEFT_SECONDS = 0.1
"""Maximum seconds for cancelled applications to end."""
LOG_SECONDS = 30.0
"""Seconds between two lines about connections that cannot be served."""


class Intake(Protocol):
    """The source of connections."""

    def start(self) -> None:
        """Begin to take connections."""

    def close(self) -> None:
        """Stop taking connections."""


def serve(
    config: Config, host: str, port: int, beside: Callable[[RecordSource], Awaitable[None]] | None = None
) -> NoReturn:
    """Run the server until it is stopped, then end the process. Raises ListenError.

    `beside` runs in the background, given the source that the server reads.
    """
    tune()
    bounded, places = descriptors.bounded(config)
    listener = listen(host, port)
    server = StreamServer(Process(bounded, beside), places)
    if config.redis_url is not None:
        per_ip, total = config.client_ip_connection_limit, bounded.max_connections
        server.share_limits(ReplicaLimits(per_ip, total, config.max_connections, config.redis_url))
    server.run_with(Listening(listener, server.adopt, server.room.has_room, server.accept_failures.note))


def tune() -> None:
    """Tune the interpreter and glibc for many clients.

    The event loop gets the interpreter back within 0.1 ms while a thread computes: by default, it would wait 5 ms after
    each system call. The garbage collector runs rarely: thousands of clients are many objects that live long, and make
    hardly any garbage. glibc returns large blocks to the system (mallopt(3), M_MMAP_THRESHOLD): otherwise it would keep
    them after the first was freed, and one client that reads a 10 MB record would cost tens of MB forever.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


class Inbox:
    """The ASGI messages for a stream's application: its request, and the disconnect. An asyncio.Queue takes 2 kB."""

    __slots__ = ("_messages", "_waiter")

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, message: Any) -> None:
        """Add a message."""
        self._messages.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> Any:
        """Wait for a message and return it."""
        while not self._messages:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._messages.pop(0)


class StreamServer(Server):
    """Serves the connections that its intake gives to `adopt`."""

    _intake: Intake

    def __init__(self, process: Process, places: descriptors.Places) -> None:
        super().__init__(
            application=application_of(process.service),
            endpoints=["elsewhere"],  # Daphne ends a server that has none
            server_name="",
            verbosity=1,
            signal_handlers=False,
        )
        self.endpoints: list[str] = []
        self.faults = FaultLog(process.service.metrics.faults.labels("serving connections").inc)
        self.service = process.service
        self.connection_ended: Callable[[], None] = lambda: None
        """Called after each end of a connection."""
        self.room = Room(places, lambda: len(self.service.connections))
        self.service.is_crowded = lambda: self.room.is_crowded
        self.accept_failures = AcceptFailures()
        self.service.accept_problem = lambda: self.accept_failures.problem
        self.service.metrics.count(
            ACCEPT_FAILURES,
            ACCEPT_FAILURES_HELP,
            lambda: self.accept_failures.count,
        )
        self._accepted = 0
        self.service.metrics.count(
            "eventstreams_connections_accepted", "Connections of clients that were accepted", lambda: self._accepted
        )
        self.service.metrics.count(
            "eventstreams_connections_closed_for_room",
            "Connections without a request that were closed to make room",
            lambda: self.room.closed,
        )
        self._process = process
        self._flows: dict[Any, Flow] = {}
        self._shared: SharedCounts | None = None
        self._is_stopping = False
        self._next_log = float("-inf")

    @property
    def http_factory(self) -> StreamFactory:
        """Return the factory of our channels; Daphne's `run` sets its own, which is ignored."""
        return self._factory

    @http_factory.setter
    def http_factory(self, stock: HTTPFactory) -> None:  # noqa: ARG002
        self._factory = StreamFactory(self)

    def run_with(self, intake: Intake, *, ignoring: Collection[int] = ()) -> NoReturn:
        """Serve the connections of `intake` until a signal stops the server, then end the process."""
        self._intake = intake
        globalLogPublisher.addObserver(self.faults.observe)  # Daphne sends Twisted's log to nowhere
        reactor.callWhenRunning(take_warnings)
        # Daphne has no lifespan: the hub starts when the reactor does.
        reactor.callWhenRunning(lambda: asyncio.ensure_future(self._start(ignoring)))
        self.run()
        signals.end(0)

    async def _start(self, ignoring: Collection[int]) -> None:
        try:
            signals.handle(asyncio.get_running_loop(), self.stop, ignoring=ignoring)
            await self._process.start()
            self._intake.start()
        except Exception:  # Twisted would not log it, and the process would run without serving
            log.exception("Cannot start the server")
            signals.end(1)

    def adopt(self, connection: socket.socket) -> None:
        """Serve a connection that has been accepted."""
        with connection:
            connection.setblocking(False)
            try:
                fileno, family = connection.fileno(), connection.family
                transport = reactor.adoptStreamConnection(fileno, family, self.http_factory)
                self.room.opened(transport.protocol)
                self._accepted += 1
            except OSError as error:
                # ENOTCONN: its client has left. Otherwise there is no descriptor for Twisted's copy of the socket.
                if error.errno == errno.ENOTCONN:
                    return
                self.accept_failures.note(os.strerror(error.errno or 0))
                if time.monotonic() >= self._next_log:
                    self._next_log = time.monotonic() + LOG_SECONDS
                    log.error("Closed a connection that cannot be served: %s", error)

    def share_limits(self, limits: ReplicaLimits) -> None:
        """Use limits that all replicas share."""
        self.service.limits = limits
        self.service.metrics.registry.register(limits.shared)
        self._shared = limits.shared

    def stop(self) -> None:
        """Stop the server, once."""
        if not self._is_stopping:
            self._is_stopping = True
            super().stop()

    def create_application(self, protocol: Any, scope: MutableMapping[str, Any]) -> Any:
        """Start the application for a request; return the queue of its messages (Daphne)."""
        _use_origin_form(scope)
        is_public = scope["type"] == "http" and not is_private(below(self.service.settings.url_prefix, scope["path"]))
        queue = self._open(protocol, scope) if is_public else super().create_application(protocol, scope)
        self.connections[protocol]["application_instance"].add_done_callback(functools.partial(self._reap, protocol))
        return queue

    def _open(self, protocol: Any, scope: MutableMapping[str, Any]) -> Inbox:
        flow = self._flows[protocol] = Flow(protocol, protocol.channel.connection)
        scope["extensions"] = {FLOW_EXTENSION: flow}
        scope["asgi"] = {"version": "3.0"}
        inbox = Inbox()
        application = self.application(
            scope=scope, receive=inbox.get, send=functools.partial(self.handle_reply, protocol)
        )
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(application)
        return inbox

    def protocol_disconnected(self, protocol: Any) -> None:
        """Tell the application that its client has left (Daphne)."""
        flow = self._flows.pop(protocol, None)
        if flow is not None:
            flow.stopProducing()
            flow.gone()
        details = self.connections.get(protocol)
        if details is not None:
            super().protocol_disconnected(protocol)
            if "application_instance" not in details:
                del self.connections[protocol]

    async def handle_reply(self, protocol: Any, message: MutableMapping[str, Any]) -> None:
        """Send a message of an application. Raises ClientGone; Daphne would ignore that, and has no backpressure."""
        connection = self.connections.get(protocol)
        if connection is None or connection.get("disconnected"):
            raise ClientGone
        flow = self._flows.get(protocol)
        is_body = message["type"] == "http.response.body"
        if flow is not None and is_body and not message.get("more_body"):
            flow.close()
        try:
            await super().handle_reply(protocol, message)
        except RuntimeError:
            if not protocol.channel.connection.is_reset:
                raise  # a fault of ours
            raise reset_by_peer(protocol) from None
        if flow is not None and is_body and message.get("more_body"):
            flow.open()

    def application_checker(self) -> None:
        """Cancel applications that outlive their client.

        Daphne checks all connections each second, and stops doing so forever once an application fails after its
        response began. Here `_reap` deals with each application when it ends.
        """
        now = time.time()
        for details in self.connections.values():
            if now - details.get("disconnected", now) > self.application_close_timeout:
                log.warning(
                    "A request handler still runs %s s after its client disconnected; cancelling it",
                    now - details["disconnected"],
                )
                details["application_instance"].cancel()
        reactor.callLater(CHECK_SECONDS, self.application_checker)

    def timeout_checker(self) -> None:
        """Do nothing: Daphne would look for requests that take long; streams have no end, others a deadline."""

    def _reap(self, protocol: Any, application: asyncio.Future[Any]) -> None:
        """End the response of an application that has ended; answer with an error if it has not begun."""
        details = self.connections[protocol]
        del details["application_instance"]
        error = None if application.cancelled() else application.exception()
        if error is not None:
            log.error("A request handler failed", exc_info=without_text(error))
        # Where the response ends only now, `protocol_disconnected` is called, which forgets the connection.
        if "disconnected" in details:
            del self.connections[protocol]
            return
        if error is None and not self.service.draining and not protocol.channel.connection.is_reset:
            how = "was cancelled" if application.cancelled() else "ended"
            log.error("A request handler %s before its answer was complete", how)
        if protocol._response_started:
            if protocol.channel is not None:
                protocol.channel.forceAbortClient()
        else:
            protocol.basic_error(500, b"", "")

    def kill_all_applications(self) -> defer.Deferred[None]:
        """End the streams cleanly, then everything else, before the reactor stops (Daphne)."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._stop()))

    async def _stop(self) -> None:
        loop, drain_seconds = asyncio.get_running_loop(), self._process.drain_seconds
        signals.end_within(loop, drain_seconds + STOP_SECONDS)
        until = loop.time() + drain_seconds + PARTS_SECONDS
        log.info("Stopping: ending %s streams", len(self.service.clients))
        await self._process.drain(until)
        self._intake.close()
        await self._process.finish(until)
        # A Redis that hangs does not add to what Kafka and the collectors of telemetry take.
        await asyncio.gather(self._process.close(), self._shared_ends())
        left = [
            application
            for details in self.connections.values()
            if (application := details.get("application_instance")) is not None and not application.done()
        ]
        for application in left:
            application.cancel()
        if left:
            await asyncio.wait(left, timeout=LEFT_SECONDS)

    async def _shared_ends(self) -> None:
        """End the lease of connections in Redis."""
        if self._shared is not None:
            self._shared.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHARED_SECONDS):
                    while not self._shared.is_closed:
                        await asyncio.sleep(0.01)


def _use_origin_form(scope: MutableMapping[str, Any]) -> None:
    """Give applications the path, even if the request's target is a whole URL."""
    raw: bytes = scope.get("raw_path", b"")
    path = origin_form(raw)
    if path is not raw:
        scope["raw_path"] = path
        scope["path"] = unquote(path.decode("ascii"))
