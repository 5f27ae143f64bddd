"""A connection as the server has it, without a socket: its transport keeps what is written to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from eventstreams_site.server.channel import StreamChannel
from eventstreams_site.server.faults import FaultLog
from eventstreams_site.server.request import StreamRequest
from streams.engine.metrics import Metrics


class Transport(StringTransport):
    def loseWriteConnection(self) -> None:  # noqa: N802
        self.disconnecting = True


class Request(StreamRequest):
    """One that no application answers."""

    def process(self) -> None:
        """It has been read."""


def made_channel(clock: Clock, transport: Transport | None = None) -> StreamChannel:
    made = StreamChannel()
    made.callLater = clock.callLater
    service: Any = SimpleNamespace(
        connections=set(),
        metrics=Metrics(),
        settings=SimpleNamespace(cors="*", url_prefix=""),
    )
    ignore: Any = lambda *_: None  # noqa: E731
    faults: list[None] = []
    server = SimpleNamespace(
        service=service,
        protocol_connected=ignore,
        protocol_disconnected=ignore,
        connection_ended=ignore,
        faults=FaultLog(lambda: faults.append(None)),
        counted=faults,
    )
    made.factory = SimpleNamespace(server=server, log=ignore)
    made.requestFactory = Request
    made.makeConnection(transport or Transport())
    return made
