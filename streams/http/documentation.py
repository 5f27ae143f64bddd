"""The OpenAPI document, and the page that shows it.

Source: wire contract, "Routes".
"""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers

from streams.core.errors import NoStreamConfiguration
from streams.http.about import HOME
from streams.http.headers import PAGE_POLICY
from streams.http.views import DEMO_PAGE, DOCUMENTATION, problem_response, public, service_of

JSON = "application/json"
YAML = "application/yaml"
_YAML_TYPES = (YAML, "application/vnd.oai.openapi", "application/x-yaml", "text/yaml", "text/x-yaml")
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")


class SeeOther(HttpResponseRedirect):
    status_code = 303


@public
async def root(request: HttpRequest) -> HttpResponse:
    """The document, the documentation, or where to go: the demo page where it is enabled, else the documentation."""
    if "spec" in request.GET:
        return await _spec(request)
    if "doc" in request.GET:
        return _page(request)
    return SeeOther(DEMO_PAGE if service_of(request).settings.ui_enabled else DOCUMENTATION)


@public
async def spec(request: HttpRequest) -> HttpResponse:
    return await _spec(request)


async def _spec(request: HttpRequest) -> HttpResponse:
    """JSON, or YAML where `format` or `Accept` says so; 503 before the streams are known."""
    service = service_of(request)
    await service.starting()
    catalogue = service.catalogue
    if catalogue is None:
        return problem_response(request, NoStreamConfiguration())
    media_type = _media_type(request)
    make = service.documents.json if media_type == JSON else service.documents.yaml
    body = await make(catalogue, service.schemas)
    if _GZIP.search(request.headers.get("Accept-Encoding", "")):
        answer = HttpResponse(body.gzipped, content_type=media_type, headers={"Content-Encoding": "gzip"})
    else:
        answer = HttpResponse(body.plain, content_type=media_type)
    answer["ETag"] = body.etag
    answer["Cache-Control"] = "no-cache"  # it may be kept, and is asked for again: 304 costs little
    patch_vary_headers(answer, ("Accept", "Accept-Encoding"))
    return get_conditional_response(request, etag=body.etag, response=answer) or answer


def _media_type(request: HttpRequest) -> str:
    wanted = request.GET.get("format")
    if wanted is not None:
        return YAML if wanted.lower() in ("yaml", "yml") else JSON
    preferred = request.get_preferred_type([JSON, *_YAML_TYPES])
    return YAML if preferred in _YAML_TYPES else JSON


def _page(request: HttpRequest) -> HttpResponse:
    service = service_of(request)
    context: dict[str, Any] = {
        "streams": sorted(service.catalogue.streams.values(), key=lambda stream: stream.name.lower())
        if service.catalogue
        else [],
        "has_demo": service.settings.ui_enabled,
        "demo": DEMO_PAGE,
        "home": HOME,
    }
    answer = render(request, "doc.html", context)
    answer["Cache-Control"] = "no-cache"
    answer["Content-Security-Policy"] = PAGE_POLICY
    return answer
