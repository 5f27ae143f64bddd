"""Middleware of others, where it does more than we want."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.middleware.common import CommonMiddleware
from servestatic.middleware import ServeStaticMiddleware
from servestatic.responders import MissingFileError

from streams.http.headers import is_private


class HostOfAdminOnly(CommonMiddleware):
    """The Host header is checked where something is made out of it, in the admin.

    Probes, mirrors and proxies ask the public routes under any name (nginx under that of its upstream, which need not
    be one that a host can have).
    """

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        return super().process_request(request) if is_private(request.path_info) else None


class StaticFiles(ServeStaticMiddleware):
    """A file that is not there is a 404 with DEBUG on too, where ServeStatic raises."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return await super().__call__(request)
        except MissingFileError:
            return await self.get_response(request)
