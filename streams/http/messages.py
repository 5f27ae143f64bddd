"""The ASGI messages of one request, sent and received."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from streams.http.service import ClientGone


async def send_message(send: Callable[[Any], Awaitable[None]], message: Any) -> None:
    """Send a message.

    Raises:
        ClientGone: Servers raise any OSError (ASGI, "Send"), for which an internal fault must not be mistaken.
    """
    try:
        await send(message)
    except OSError as error:
        raise ClientGone from error


class Leaves(Protocol):
    """A client's connection that says itself when the client has disconnected."""

    def when_gone(self, call: Callable[[], None] | None) -> None:
        """Call this, soon, once the client has disconnected; None: nothing."""


async def watch_for_leave(
    flow: Leaves | None, receive: Callable[[], Awaitable[Any]], left: Callable[[], None]
) -> Callable[[], None]:
    """Call `left` once the client has disconnected; return the function that ends this.

    A task that waits for the message takes a kilobyte of memory for each client, so the connection is asked if it can
    be. Its request is taken out of the messages: nobody needs its body.
    """
    if flow is not None:
        await receive()
        flow.when_gone(left)
        return lambda: flow.when_gone(None)
    gone = asyncio.ensure_future(_disconnected(receive))

    def tell(_: asyncio.Future[None]) -> None:
        left()

    def end() -> None:
        gone.remove_done_callback(tell)
        gone.cancel()

    gone.add_done_callback(tell)
    return end


async def _disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
