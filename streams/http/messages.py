"""The ASGI messages of one request, sent and received."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

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


async def disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
