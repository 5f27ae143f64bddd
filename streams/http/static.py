"""Styles, scripts and pictures of the installed packages, from memory: they are read when they are first asked for.

They take no place among Django's requests, and no descriptor while they are sent. There is no collectstatic.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders

from streams.core.errors import PathNotFound
from streams.http.answers import Answer, Body, answer
from streams.http.made import Made, in_thread
from streams.http.requests import Scope
from streams.http.service import Service

MAX_AGE = 3600
"""Seconds for which a file may be kept without asking."""
OURS = ("eventstreams/ui/", "eventstreams/doc/")
"""A page's modules import each other by name: an old one beside a new one would break the page."""
# What the machine's own tables call otherwise, or do not have.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}


class StaticFiles:
    """`/static/…`, by the names that Django's finders have for the files."""

    def __init__(self) -> None:
        self._prefix = f"/{settings.STATIC_URL.strip('/')}/"
        self._files: dict[str, tuple[Path, Made[Body]]] = {}
        for finder in get_finders():
            for name, storage in finder.list([]):
                self._files.setdefault(name.replace("\\", "/"), (Path(storage.path(name)), Made()))

    def __contains__(self, path: str) -> bool:
        return path.startswith(self._prefix)

    async def __call__(self, scope: Scope, service: Service) -> Answer:
        """Raise PathNotFound where there is no such file."""
        name = scope["path"].removeprefix(self._prefix)
        if name not in self._files:
            raise PathNotFound(scope["path"])
        path, made = self._files[name]
        state, make = None, in_thread(_read, path)
        if settings.DEBUG:  # who works on a file wants to see it
            state = path.stat().st_mtime_ns
        is_kept = not settings.DEBUG and not name.startswith(OURS)
        cache = f"max-age={MAX_AGE}, public" if is_kept else "no-cache"
        return answer(await made.of(state, make), _type_of(path), cache=cache)


def _read(path: Path) -> Body:
    return Body.of(path.read_bytes())


def _type_of(path: Path) -> str:
    suffix = path.suffix.lower()
    return _TYPES.get(suffix) or mimetypes.types_map.get(suffix) or "application/octet-stream"
