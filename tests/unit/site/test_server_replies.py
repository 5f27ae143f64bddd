"""A write that fails since the connection was reset is the client's leave; any other failure is ours, and is seen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eventstreams_site.server.flow import Flow
from eventstreams_site.server.server import StreamServer
from streams.http.service import ClientGone


class Protocol:
    """A request on a connection that may have been reset."""

    def __init__(self, *, is_reset: bool) -> None:
        self.aborted = False
        self._disconnected = False
        self.chunked = True
        connection = SimpleNamespace(is_reset=is_reset, expect=lambda _: None, tcp=None)
        self.channel = SimpleNamespace(connection=connection, forceAbortClient=self._abort, write=self.fail)

    def fail(self, _: Any) -> None:
        raise RuntimeError("why")

    handle_reply = fail

    def _abort(self) -> None:
        self.aborted = True


def served(protocol: Protocol) -> StreamServer:
    server = object.__new__(StreamServer)
    server.connections = {protocol: {}}
    server._flows = {}
    return server


@pytest.mark.parametrize(("is_reset", "raised"), [(True, ClientGone), (False, RuntimeError)])
async def test_a_reply(is_reset: bool, raised: type[Exception]) -> None:
    protocol = Protocol(is_reset=is_reset)
    with pytest.raises(raised):
        await served(protocol).handle_reply(protocol, {"type": "http.response.body"})
    assert protocol.aborted is is_reset


@pytest.mark.parametrize(("is_reset", "raised"), [(True, ClientGone), (False, RuntimeError)])
async def test_a_chunk(is_reset: bool, raised: type[Exception]) -> None:
    protocol: Any = Protocol(is_reset=is_reset)
    with pytest.raises(raised):
        await Flow(protocol, protocol.channel.connection).write((b"x",))
    assert protocol.aborted is is_reset
