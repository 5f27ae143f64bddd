"""Settings of the login throttle (django-axes): which tries count together, and the page of a locked login."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from streams.http.client_address import client_ip
from streams.http.service import SCOPE_KEY, Service

LONGEST_NAME = 150
"""Characters of a user name, as Django's own model has them."""


def client_address(request: HttpRequest) -> str:
    """Return the client's address by the rules for streams (`client_ip_header`, `trusted_proxies`)."""
    scope: Any = getattr(request, "scope", {})
    service: Service | None = scope.get(SCOPE_KEY)
    if service is None:
        return str(request.META.get("REMOTE_ADDR", ""))
    return client_ip(scope, service.settings.client_ip_header, service.settings.trusted_proxies)


def username(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """Return the name that was tried, cut to the length of the database field: PostgreSQL refuses longer ones."""
    given = (credentials or request.POST).get("username") or ""
    return str(given).replace("\0", "")[:LONGEST_NAME]


def locked_out(request: HttpRequest, *_: object) -> HttpResponse:
    """Answer a login that is locked (429)."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    context = {
        **admin.site.each_context(request),
        "title": "Locked out",
        "limit": settings.AXES_FAILURE_LIMIT,
        "minutes": seconds // 60,
    }
    answer = render(request, "admin/locked_out.html", context, status=429)
    answer["Retry-After"] = str(seconds)
    return answer
