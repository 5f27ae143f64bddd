"""Everything that is not a stream: small answers, by Django.

Source: wire contract, "Routes".
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt

from streams.core.errors import EventStreamsError, InternalError, MethodNotAllowed, PathNotFound
from streams.http.about import DESCRIPTION, HOME, NAME, VERSION
from streams.http.problems import problem_headers
from streams.http.requests import request_uri
from streams.http.service import SCOPE_KEY, Service

DOCUMENTATION = "/?doc"
DEMO_PAGE = "/v2/ui"


class MovedPermanently(HttpResponseRedirect):
    status_code = 301


def public(view: Callable[..., Any]) -> Callable[..., Any]:
    """A view for GET and HEAD, asynchronous where `view` is."""

    def refusal(request: HttpRequest) -> HttpResponse | None:
        if request.method in ("GET", "HEAD"):
            return None
        return problem_response(request, MethodNotAllowed(request.method or ""))

    @functools.wraps(view)
    def checked(request: HttpRequest, *args: Any) -> HttpResponse:
        refused = refusal(request)
        answer: HttpResponse = refused if refused is not None else view(request, *args)
        return answer

    @functools.wraps(view)
    async def checked_async(request: HttpRequest, *args: Any) -> HttpResponse:
        refused = refusal(request)
        answer: HttpResponse = refused if refused is not None else await view(request, *args)
        return answer

    # Nothing here changes anything: a POST is told that it is not allowed, not that it lacks a token.
    exempt: Callable[..., Any] = csrf_exempt(checked_async if inspect.iscoroutinefunction(view) else checked)
    return exempt


def service_of(request: HttpRequest) -> Service:
    service: Service = request.scope[SCOPE_KEY]  # type: ignore[attr-defined]
    return service


@public
def rc(request: HttpRequest) -> HttpResponse:
    """Where the old recent-changes feed was."""
    return MovedPermanently(DOCUMENTATION)


@public
def robots(request: HttpRequest) -> HttpResponse:
    return HttpResponse("User-agent: *\nDisallow: /\n", content_type="text/plain; charset=utf-8")


@public
def info(request: HttpRequest, what: str = "") -> HttpResponse:
    """Name, version, description and home of the service."""
    known = {"name": NAME, "version": VERSION, "description": DESCRIPTION, "home": HOME}
    if what == "home":
        return MovedPermanently(HOME)
    if not what:
        return JsonResponse(known)
    return JsonResponse({what: known[what]})


@public
def healthz(request: HttpRequest) -> HttpResponse:
    """Liveness: the event loop turns and Django answers."""
    return JsonResponse({"status": "ok"})


@public
def readyz(request: HttpRequest) -> HttpResponse:
    """Readiness; an outage after the start is `degraded`, not unready: clients must not be sent away for it."""
    service = service_of(request)
    reasons = service.unready()
    if reasons:
        return JsonResponse({"status": "unready", "reasons": reasons}, status=503)
    degraded = service.degraded()
    return JsonResponse({"status": "degraded", "degraded": degraded} if degraded else {"status": "ready"})


@public
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(service_of(request).metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """A path that is not there: a page for a browser that asks for one, else problem+json."""
    error = PathNotFound(request.path)
    if "text/html" in request.headers.get("Accept", ""):
        return render(request, "404.html", {"path": request.path[:200]}, status=404)
    return problem_response(request, error)


def server_error(request: HttpRequest) -> HttpResponse:
    return problem_response(request, InternalError())


def problem_response(request: HttpRequest, error: EventStreamsError) -> HttpResponse:
    uri = request_uri(request.scope) if hasattr(request, "scope") else request.get_full_path()
    body = json.dumps(error.problem(request.method or "", uri)).encode()
    response = HttpResponse(body, status=error.status)
    for name, value in problem_headers(error, len(body)):
        response[name.decode()] = value.decode()
    return response
