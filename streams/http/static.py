"""Styles, scripts and images of the installed packages, read on the first request and kept in memory.

They need no thread of Django's, no descriptor while they are sent, and no collectstatic.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders

from streams.http.answers import Answer, Body, answer
from streams.http.made import Made, in_thread
from streams.http.prefix import not_found
from streams.http.requests import Scope
from streams.http.service import Service

MAX_AGE = 3600
"""Seconds for which clients may cache a file."""
OURS = ("eventstreams/ui/", "eventstreams/doc/")
"""Files that clients always revalidate: modules import each other by name, and mixed versions would break the page."""
# Types that the machine's tables lack or name otherwise.
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
    """`/static/…`: the files that Django's finders find."""

    def __init__(self) -> None:
        self._prefix = "/static/"
        self._files: dict[str, tuple[Path, Made[Body]]] = {}
        for finder in get_finders():
            for name, storage in finder.list([]):
                self._files.setdefault(name.replace("\\", "/"), (Path(storage.path(name)), Made()))

    def __contains__(self, path: str) -> bool:
        return path.startswith(self._prefix)

    async def __call__(self, scope: Scope, _service: Service) -> Answer:
        """Return the file.

        Raises:
            PathNotFound: It does not exist.
        """
        name = scope["path"].removeprefix(self._prefix)
        if name not in self._files:
            raise not_found(scope)
        path, made = self._files[name]
        state, make = None, in_thread(_read, path)
        if settings.DEBUG:  # developers see their changes at once
            state = path.stat().st_mtime_ns
        is_kept = not settings.DEBUG and not name.startswith(OURS)
        cache = f"max-age={MAX_AGE}, public" if is_kept else "no-cache"
        return answer(await made.of(state, make), _type_of(path), cache=cache)


def _read(path: Path) -> Body:
    return Body.of(path.read_bytes())


def _type_of(path: Path) -> str:
    suffix = path.suffix.lower()
    return _TYPES.get(suffix) or mimetypes.types_map.get(suffix) or "application/octet-stream"
