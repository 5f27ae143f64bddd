"""Middleware of Django's, where it does not fit a service behind a proxy."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.middleware.csrf import CsrfViewMiddleware


class SameHostOrigin(CsrfViewMiddleware):
    """Takes a form from a page of this site also where a proxy ends TLS.

    Django compares the browser's Origin (https://example.org:8443) with what it is asked by itself: http, and a Host
    that may have lost its port. Here an Origin is the site's own as well if it is https and its host is that of the
    Host header, with the port of the Host header where that has one; or if its host is one of those that
    DJANGO_ALLOWED_HOSTS names.
    """

    def _origin_verified(self, request: HttpRequest) -> bool:
        return super()._origin_verified(request) or _is_own(request, request.META["HTTP_ORIGIN"])


def _is_own(request: HttpRequest, text: str) -> bool:
    try:
        origin = urlsplit(text)
        port = origin.port
        host, host_port = split_domain_port(request.get_host())
    except (ValueError, DisallowedHost):
        return False
    if origin.scheme != "https" or not origin.hostname or not _is_origin(origin):
        return False
    name = f"[{origin.hostname}]" if ":" in origin.hostname else origin.hostname
    if name == host:
        return not host_port or host_port == str(port or 443)
    named = [pattern for pattern in settings.ALLOWED_HOSTS if pattern != "*"]
    return validate_host(name, named)


def _is_origin(parts: SplitResult) -> bool:
    return not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
