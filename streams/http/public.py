"""Every public route but the streams, in one table.

All are answered on the event loop from memory, without Django's threads, so that no number of requests delays probes.

Source: wire contract, "Routes".
"""

from __future__ import annotations

import html
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from streams.core.errors import EventStreamsError, InternalError, MethodNotAllowed, PathNotFound
from streams.engine.faults import without_text
from streams.http import ui, views
from streams.http.answers import HTML, Answer, answer, problem, send_answer, wants_page
from streams.http.made import Made, in_thread
from streams.http.openapi import documentation
from streams.http.prefix import not_found, page, seen_path
from streams.http.requests import Scope
from streams.http.service import SCOPE_KEY, Service
from streams.http.static import StaticFiles

log = logging.getLogger(__name__)

SHOWN_PATH = 200
"""Maximum characters of a path that the page of a 404 repeats."""
_PATH = "path-of-the-request"
"""Placeholder for the path in the cached page of a 404."""

Handler = Callable[[Scope, Service], Awaitable[Answer]]


class PublicRoutes:
    """An ASGI application for GET and HEAD; `headers.CommonHeaders` around it answers OPTIONS."""

    def __init__(self) -> None:
        demo = ui.Page()
        self._routes: dict[str, Handler] = {
            "/": documentation.Root(),
            "/schema/": documentation.spec,
            "/rc": views.rc,
            "/robots.txt": views.robots,
            "/_info": views.info,
            "/_info/": views.info,
            "/_info/name": views.info,
            "/_info/version": views.info,
            "/_info/home": views.info,
            "/healthz": views.healthz,
            "/readyz": views.readyz,
            "/metrics": views.MetricsText(),
            "/v2/ui": demo,
            "/v2/ui/": demo,
            "/v2/ui/streams.json": ui.Streams(),
        }
        self._static = StaticFiles()
        self._not_found: Made[str] = Made()

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """Answer a request."""
        await send_answer(scope, send, await self._answer(scope))

    async def _answer(self, scope: Scope) -> Answer:
        service: Service = scope[SCOPE_KEY]
        try:
            return await self._handler(scope)(scope, service)
        except PathNotFound as error:
            return await self._page(scope) if wants_page(scope) else problem(scope, error)
        except EventStreamsError as error:
            return problem(scope, error)
        except Exception as error:
            log.error("A request for %s failed", scope["path"][:SHOWN_PATH], exc_info=without_text(error))
            return problem(scope, InternalError())

    def _handler(self, scope: Scope) -> Handler:
        path = scope["path"]
        handler = self._static if path in self._static else self._routes.get(path)
        if handler is None:
            raise not_found(scope)
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(scope["method"])
        return handler

    async def _page(self, scope: Scope) -> Answer:
        prefix = scope[SCOPE_KEY].settings.url_prefix
        kept = await self._not_found.of(None, in_thread(page, "404.html", {"path": _PATH}, prefix))
        shown = html.escape(seen_path(scope)[:SHOWN_PATH])
        return answer(kept.replace(_PATH, shown).encode("utf-8", "replace"), HTML, ("Vary", "Accept"), status=404)
