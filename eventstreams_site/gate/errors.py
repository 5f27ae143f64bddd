"""Django's answers to unknown paths and to failures: a page for a browser, else problem+json."""

from __future__ import annotations

import json
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from streams.core.errors import DatabaseAway, EventStreamsError, InternalError, PathNotFound
from streams.http.problems import problem_headers


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001 (Django calls it)
    """Answer a path that does not exist (404)."""
    if _wants_page(request):
        return render(request, "404.html", {"path": request.path[:200], "in_admin": True}, status=404)
    return _problem(request, PathNotFound(request.path, request.META["SCRIPT_NAME"]))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a failure: 503 if the database cannot be reached, else 500. The log has the details."""
    is_away = isinstance(sys.exception(), OperationalError | InterfaceError)
    error = DatabaseAway() if is_away else InternalError()
    if not _wants_page(request):
        return _problem(request, error)
    page = render(None, "refused.html", {"title": error.title, "detail": error.detail}, status=error.status)
    page["Cache-Control"] = "no-store"
    return page


def _wants_page(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _problem(request: HttpRequest, error: EventStreamsError) -> HttpResponse:
    body = json.dumps(error.problem(request.method or "", request.get_full_path())).encode()
    response = HttpResponse(body, status=error.status)
    for name, value in problem_headers(error, len(body)):
        response[name.decode()] = value.decode()
    return response
