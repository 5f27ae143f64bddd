"""Middleware of others, where it does more than we want."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.middleware.common import CommonMiddleware
from servestatic.middleware import ServeStaticMiddleware
from servestatic.responders import MissingFileError

from streams.core.errors import EventStreamsError, MethodNotAllowed, RangeNotSatisfiable
from streams.http.headers import is_private
from streams.http.views import problem_response


class HostOfAdminOnly(CommonMiddleware):
    """The Host header is checked where something is made out of it, in the admin.

    Probes, mirrors and proxies ask the public routes under any name (nginx under that of its upstream, which need not
    be one that a host can have).
    """

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        return super().process_request(request) if is_private(request.path_info) else None


class StaticFiles(ServeStaticMiddleware):
    """A file that is not there is a 404 with DEBUG on too, where ServeStatic raises; its errors have our form."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            response = await super().__call__(request)
        except MissingFileError:
            return await self.get_response(request)
        error = _ERRORS.get(response.status_code)
        if error is None or "problem" in response.get("Content-Type", ""):
            return response
        ours = problem_response(request, error(request.method or ""))
        if "Content-Range" in response:
            ours["Content-Range"] = response["Content-Range"]
        return ours


_ERRORS: dict[int, Callable[[str], EventStreamsError]] = {
    405: MethodNotAllowed,
    416: lambda method: RangeNotSatisfiable(),
}
