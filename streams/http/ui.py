"""The demo page, and the list of streams that it shows.

Source: wire contract, "Routes".
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from streams.core.catalogue import Stream
from streams.core.errors import NoStreamConfiguration
from streams.http.views import not_found, problem_response, public, service_of

STREAMS_SECONDS = 10
"""The list may be kept for so long: the rates in it are up to half a minute old anyway."""


@public
def page(request: HttpRequest) -> HttpResponse:
    """200 where the configuration has the page enabled, else 404, as at the old service."""
    if not service_of(request).settings.ui_enabled:
        return not_found(request)
    response = render(request, "ui.html")
    response["Cache-Control"] = "no-cache"
    return response


@public
async def streams(request: HttpRequest) -> HttpResponse:
    """What there is to choose from, JSON: `streams`, each with `name`, `aliases`, `description`, `topics` and `rate`
    (events per second over the last minute, null where that is not known), and two settings that a client should know.

    Asynchronous, since the rates are asked on the engine's event loop.
    """
    service = service_of(request)
    if not service.settings.ui_enabled:
        return not_found(request)
    catalogue = service.catalogue
    if catalogue is None:
        return problem_response(request, NoStreamConfiguration())
    rates = await service.rates.of({topic for stream in catalogue.streams.values() for topic in stream.topics})
    found = {
        "streams": [_described(stream, rates) for stream in catalogue.streams.values()],
        "max_streams": service.settings.max_streams,
        "keepalive_seconds": service.settings.keepalive_seconds,
    }
    response = JsonResponse(found)
    response["Cache-Control"] = f"public, max-age={STREAMS_SECONDS}"
    return response


def _described(stream: Stream, rates: dict[str, float]) -> dict[str, Any]:
    known = [rates[topic] for topic in stream.topics if topic in rates]
    return {
        "name": stream.name,
        "aliases": stream.aliases,
        "description": stream.description or stream.schema_title or "",
        "topics": stream.topics,
        "rate": round(sum(known), 3) if known else None,
    }
