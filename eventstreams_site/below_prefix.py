"""Django below the path that a proxy puts before all others (`url_prefix`): its cookies and static files.

Links and redirects follow the prefix of the request (`root_path`, SCRIPT_NAME) anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from django.urls import get_script_prefix


def cookies_below_prefix(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Keep cookies from other services of the host: two of this kind would log each other's users out (middleware)."""

    def respond(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        for cookie in response.cookies.values():
            if cookie["path"] == "/":
                cookie["path"] = get_script_prefix()
        return response

    return respond


class StaticFilesBelowPrefix(StaticFilesStorage):
    """Static files; Django's own class keeps the address that it had at its first use."""

    @property
    def base_url(self) -> str:
        """Return the address of all static files, which depends on the request."""
        return f"{get_script_prefix()}static/"
