"""The OpenAPI document, and the page that shows it.

Source: wire contract, "Routes".
"""

from __future__ import annotations

import html
from typing import Any

from django.http import HttpRequest

from streams.core.catalogue import Catalogue
from streams.core.errors import NoStreamConfiguration
from streams.http.about import HOME
from streams.http.answers import HTML, JSON, Answer, answer, looked_at, problem, redirect
from streams.http.headers import PAGE_POLICY
from streams.http.made import Made, in_thread
from streams.http.prefix import page
from streams.http.requests import Scope, parameters
from streams.http.service import Service
from streams.http.views import DEMO_PAGE, DOCUMENTATION

YAML = "application/yaml"
_YAML_TYPES = (YAML, "application/vnd.oai.openapi", "application/x-yaml", "text/yaml", "text/x-yaml")
_SITE = "site-of-the-request"
"""Placeholder for the scheme and host of the request in the cached page."""


async def spec(scope: Scope, service: Service) -> Answer:
    """Return the document; 503 before the streams are known.

    It is JSON, or YAML if `format` or `Accept` asks for it; OpenAPI 3.1, or 3.2 if `version` asks for it.
    """
    await service.starting()
    catalogue = service.catalogue
    if catalogue is None:
        return problem(scope, NoStreamConfiguration())
    media_type = _media_type(scope)
    make = service.documents.json if media_type == JSON else service.documents.yaml
    body = await make(catalogue, service.schemas, has_sequences=_has_sequences(scope))
    # Clients may cache it, but must revalidate: a 304 costs little.
    return answer(body, media_type, ("Vary", "Accept"), cache="no-cache")


class Root:
    """`/`: the document, the page, or a redirect to the demo page, or to the documentation if it is disabled."""

    def __init__(self) -> None:
        self._page: Made[bytes] = Made()

    async def __call__(self, scope: Scope, service: Service) -> Answer:
        """Return the document, the page or the redirect."""
        asked = parameters(scope)
        if "spec" in asked:
            return await spec(scope, service)
        if "doc" in asked:
            return await self._documentation(scope, service)
        return redirect(
            303, service.settings.url_prefix + (DEMO_PAGE if service.settings.ui_enabled else DOCUMENTATION)
        )

    async def _documentation(self, scope: Scope, service: Service) -> Answer:
        catalogue, has_demo = service.catalogue, service.settings.ui_enabled
        kept = await self._page.of(
            (catalogue, has_demo), in_thread(_rendered, catalogue, has_demo, service.settings.url_prefix)
        )
        site = html.escape(f"{scope.get('scheme', 'http')}://{looked_at(scope, b'host')}")
        body = kept.replace(_SITE.encode(), site.encode())
        return answer(body, HTML, ("Content-Security-Policy", PAGE_POLICY), cache="no-cache")


def _rendered(catalogue: Catalogue | None, has_demo: bool, prefix: str) -> bytes:
    streams = catalogue.streams.values() if catalogue else ()
    context: dict[str, Any] = {
        "streams": sorted(streams, key=lambda stream: stream.name.lower()),
        "has_demo": has_demo,
        "demo": DEMO_PAGE,
        "home": HOME,
        "site": _SITE,
    }
    return page("doc.html", context, prefix).encode()


def _has_sequences(scope: Scope) -> bool:
    version = parameters(scope).get("version", "")
    return version == "3.2" or version.startswith("3.2.")


def _media_type(scope: Scope) -> str:
    wanted = parameters(scope).get("format")
    if wanted is not None:
        return YAML if wanted.lower() in ("yaml", "yml") else JSON
    request = HttpRequest()
    request.META["HTTP_ACCEPT"] = looked_at(scope, b"accept") or "*/*"
    preferred = request.get_preferred_type([JSON, *_YAML_TYPES])
    return YAML if preferred in _YAML_TYPES else JSON
