"""The status page for staff: the whole service, live, and the same as JSON.

The page asks for the JSON every few seconds. While the database is away, nobody's session can be looked up: a visitor
who had the page open before continues to see it, by a token that the last answer gave. It grants nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin
from django.core import signing
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from streams.admin.process import Running, running
from streams.admin.texts import sentence

TOKEN_HEADER = "X-Status-Token"
TOKEN_SECONDS = 120
"""Seconds that a token is good for; each answer gives another one."""
WATCHING_SECONDS = 12 * 3600.0
"""Seconds from a staff member's last look at the page with the database there until tokens are no longer renewed."""
_SALT = "eventstreams.status"


def status_page(request: HttpRequest) -> HttpResponse:
    """Return the page; its script fills it."""
    context = {**admin.site.each_context(request), "title": "Status", "token": _token(time.time())}
    return render(request, "admin/status.html", context)


@never_cache
def status_json(request: HttpRequest) -> HttpResponse:
    """Return the status to staff, and 403 to all others: a script has no use for the page to log in."""
    process = running(request)
    if (seen_at := _seen_at(request, process)) is None:
        login = reverse("admin:login")
        detail = f"Only staff may see the status: log in at {login}, and send the session's cookie."
        return JsonResponse({"status": 403, "type": "forbidden", "title": "Forbidden", "detail": detail}, status=403)
    if process is None or process.status is None:
        return JsonResponse({"detail": "There is no status: this page is not served by the service."}, status=503)
    found: Mapping[str, Any] = async_to_sync(process.status)()
    said = {**found, "problems": [sentence(each) for each in found["problems"]]}
    response = HttpResponse(json.dumps(said, allow_nan=False), content_type="application/json")
    response[TOKEN_HEADER] = _token(seen_at)
    return response


def _seen_at(request: HttpRequest, process: Running | None) -> float | None:
    """Return when the database last said that the visitor is staff (Unix time); None if nobody can say so."""
    is_database_away = process is not None and bool(process.behind())
    if is_database_away and (seen_at := _seen_by_token(request)) is not None:
        return seen_at  # a database that hangs must not hold up the page
    try:
        user = request.user
        return time.time() if user.is_active and user.is_staff else None
    except DatabaseError:
        return _seen_by_token(request)


def _token(seen_at: float) -> str:
    return signing.dumps(seen_at, salt=_SALT)


def _seen_by_token(request: HttpRequest) -> float | None:
    try:
        seen_at: float = signing.loads(request.headers.get(TOKEN_HEADER, ""), salt=_SALT, max_age=TOKEN_SECONDS)
    except signing.BadSignature:
        return None
    return seen_at if time.time() - seen_at < WATCHING_SECONDS else None
