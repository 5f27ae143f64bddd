"""The ASGI application of one process: streams go to Channels, the admin to Django; memory answers all other paths."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application

from eventstreams_site.gate.gate import Gate
from streams.http.headers import ASGIApp, CommonHeaders, is_private
from streams.http.prefix import mount, seen_path
from streams.http.requests import STREAM_PATH
from streams.http.service import SCOPE_KEY, Service


def application_of(service: Service) -> ASGIApp:
    """Return an application for `service`. Its first request starts the service, if the server has not done so."""
    # Channels' consumers need Django's settings to be there when they are imported.
    from streams.http.consumers import StreamConsumer  # noqa: PLC0415
    from streams.http.public import PublicRoutes  # noqa: PLC0415

    stream = StreamConsumer.as_asgi()
    public = PublicRoutes()
    prefix = service.settings.url_prefix
    django = get_asgi_application()

    async def below_prefix(scope: Any, receive: Any, send: Any) -> None:
        await django({**scope, "path": seen_path(scope)}, receive, send)  # Django takes root_path off again

    admin = Gate(below_prefix if prefix else django)

    async def route(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path.startswith(STREAM_PATH) and path != STREAM_PATH:
            await stream(scope, receive, send)
        elif is_private(path):
            await admin(scope, receive, send)
        else:
            await public(scope, receive, send)

    common: ASGIApp = CommonHeaders(route, service.settings.cors)
    if service.traced is not None:
        common = service.traced(common)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"This application serves HTTP only, not {scope['type']}")
        await service.start()
        if prefix:
            mount(scope, prefix)
        scope[SCOPE_KEY] = service
        service.answering += 1
        try:
            await common(scope, receive, send)
        finally:
            service.answering -= 1

    return application
