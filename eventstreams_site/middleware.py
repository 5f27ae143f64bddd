"""Replaces middleware of Django that does not fit a service behind a proxy."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.middleware.csrf import CsrfViewMiddleware


class SameHostOrigin(CsrfViewMiddleware):
    """Accepts forms from the pages of this site, even if a proxy ends TLS.

    Django compares the browser's Origin (https://example.org:8443) with its own request: http, and a Host that may have
    lost its port. Here an https Origin is the site's own, too, if its host is that of the Host header (and its port, if
    the Host header has one), or if DJANGO_ALLOWED_HOSTS names its host.
    """

    def _origin_verified(self, request: HttpRequest) -> bool:
        is_verified: bool = super()._origin_verified(request)  # type: ignore[misc] # django-stubs lacks it
        return is_verified or _is_own(request, request.META["HTTP_ORIGIN"])


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
