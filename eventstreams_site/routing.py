"""The ASGI application of one process: streams to Channels, the rest to Django, common headers around both."""

from __future__ import annotations

import contextlib
from typing import Any

from django.core.asgi import get_asgi_application

from streams.http.headers import ASGIApp, CommonHeaders
from streams.http.requests import STREAM_PATH
from streams.http.service import SCOPE_KEY, ClientGone, Service


def application_of(service: Service) -> ASGIApp:
    """Serves `service`; starts it with the first request where the server has not."""
    # Channels' consumers need Django's settings to be there when they are imported.
    from streams.http.consumers import StreamConsumer

    stream = StreamConsumer.as_asgi()
    pages = get_asgi_application()

    async def route(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path.startswith(STREAM_PATH) and path != STREAM_PATH:
            await stream(scope, receive, send)
            return

        async def send_while_there(message: Any) -> None:
            # Django watches for the disconnect itself, and cleans up; an exception would keep it from that.
            with contextlib.suppress(ClientGone):
                await send(message)

        await pages(scope, receive, send_while_there)

    common = CommonHeaders(route, service.settings.cors)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is served here, not {scope['type']}")
        await service.start()
        scope[SCOPE_KEY] = service
        service.answering += 1
        try:
            await common(scope, receive, send)
        finally:
            service.answering -= 1

    return application
