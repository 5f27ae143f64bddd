"""What a worker reports to the supervisor: its state and figures each second, metrics and status when asked for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from eventstreams_site.server.control import Frames, Message, frame
from eventstreams_site.server.merged_metrics import families_of
from streams.engine.faults import Faults
from streams.http.service import Service
from streams.http.status import figures, report

STATE_SECONDS = 1.0
"""Seconds between two reports of the state."""


class Reporting:
    """Reports on a service. Use it in an event loop."""

    def __init__(self, service: Service, connection: socket.socket) -> None:
        self.on_message: Callable[[Message], None] = lambda _: None
        """Called for other messages of the supervisor."""
        self._service = service
        self._faults = Faults(service.metrics, service.hub.tuning)
        self._connection = connection
        self._end = WorkerEnd(self._receive)

    async def start(self) -> None:
        """Begin to report."""
        await self._end.open(self._connection)
        self._report_forever()

    def report_metrics(self) -> None:
        """Send the metrics, as at the end of a worker: its counters stay in the totals."""
        self._end.send({"type": "metrics", "families": families_of(self._service.metrics.registry)})

    def _receive(self, message: Message) -> None:
        with self._faults.caught("answering the supervisor"):  # asyncio would close the socket
            if message["type"] == "collect":
                self.report_metrics()
            elif message["type"] == "report":
                self._end.send({"type": "report", "report": report(self._service)})
            else:
                self.on_message(message)

    def send(self, message: Message) -> None:
        """Send another message to the supervisor."""
        self._end.send(message)

    def _report_forever(self) -> None:
        unready: list[str] = []
        with self._faults.caught("reporting to the supervisor"):
            unready = self._service.unready()
            self._end.send({"type": "state", "unready": unready, "degraded": self._service.degraded()})
            self._end.send({"type": "figures", "figures": figures(self._service)})
        seconds = STATE_SECONDS / 5 if unready else STATE_SECONDS
        asyncio.get_running_loop().call_later(seconds, self._report_forever)


class WorkerEnd(asyncio.Protocol):
    """A worker's end of its socket: calls `on_message` for each message."""

    def __init__(self, on_message: Callable[[Message], None]) -> None:
        self._on_message = on_message
        self._frames = Frames()
        self._transport: asyncio.WriteTransport | None = None

    async def open(self, connection: socket.socket) -> None:
        """Begin to send and to receive."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=connection)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio)."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are not of its classes

    def data_received(self, data: bytes) -> None:
        """Read messages (asyncio)."""
        for message in self._frames.feed(data):
            self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Stop sending (asyncio)."""
        self._transport = None

    def send(self, message: Message) -> None:
        """Send a message, unless the supervisor has ended."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(message))
