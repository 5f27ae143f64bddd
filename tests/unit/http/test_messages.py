"""How the answer to a client learns that the client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streams.http.messages import watch_for_leave
from tests.support.engine import eventually

REQUEST = {"type": "http.request", "body": b"", "more_body": False}
DISCONNECT = {"type": "http.disconnect"}


class Flow:
    """A connection of ours."""

    def __init__(self) -> None:
        self.call: Callable[[], None] | None = None

    def when_gone(self, call: Callable[[], None] | None) -> None:
        self.call = call


async def test_the_servers_message_says_it_where_the_connection_does_not() -> None:
    messages: asyncio.Queue[Any] = asyncio.Queue()
    left: list[None] = []
    end = await watch_for_leave(None, messages.get, lambda: left.append(None))
    messages.put_nowait(REQUEST)
    await asyncio.sleep(0.01)
    assert not left
    messages.put_nowait(DISCONNECT)
    await eventually(lambda: left)
    end()
    end = await watch_for_leave(None, messages.get, lambda: left.append(None))
    end()
    messages.put_nowait(DISCONNECT)
    await asyncio.sleep(0.01)
    assert len(left) == 1, "the answer had ended"


async def test_a_connection_of_ours_says_it_without_a_task_for_each_client() -> None:
    messages: asyncio.Queue[Any] = asyncio.Queue()
    messages.put_nowait(REQUEST)
    flow, left = Flow(), list[None]()
    before = len(asyncio.all_tasks())
    end = await watch_for_leave(flow, messages.get, lambda: left.append(None))
    assert len(asyncio.all_tasks()) == before
    assert messages.empty(), "the request is not kept"
    assert flow.call is not None
    flow.call()
    assert left == [None]
    end()
    assert flow.call is None
