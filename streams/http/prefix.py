"""The path that a proxy puts before all others (`url_prefix`), such as `/events`.

Both kinds of proxies work: those that pass the prefix on, and those that strip it. Inside the service, paths lack it;
what clients see (links, redirects, errors) always has it. No header sets it, since any client could send one.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping, MutableMapping
from typing import Any

from django.template.loader import render_to_string
from django.urls import set_script_prefix

from streams.core.errors import PathNotFound


def below(prefix: str, path: str) -> str:
    """Return a decoded path without the prefix, if it has it."""
    if prefix and path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
        return path[len(prefix) :] or "/"
    return path


def mount(scope: MutableMapping[str, Any], prefix: str) -> None:
    """Give applications the path below the prefix; `root_path` is the prefix, and `raw_path` what the client sees."""
    inner = below(prefix, scope["path"])
    if inner == scope["path"]:  # the proxy has stripped it
        scope["raw_path"] = prefix.encode() + (scope.get("raw_path") or scope["path"].encode())
    scope["path"], scope["root_path"] = inner, prefix


def seen_path(scope: Mapping[str, Any]) -> str:
    """Return the decoded path that the client sees."""
    return f"{scope.get('root_path', '')}{scope['path']}"


def not_found(scope: Mapping[str, Any]) -> PathNotFound:
    """Return the error for a path that does not exist."""
    return PathNotFound(seen_path(scope), scope.get("root_path", ""))


def page(template: str, context: Mapping[str, Any], prefix: str) -> str:
    """Return a page whose links lead below the prefix."""
    return contextvars.copy_context().run(_page, template, context, prefix)


def _page(template: str, context: Mapping[str, Any], prefix: str) -> str:
    set_script_prefix(f"{prefix}/")
    return render_to_string(template, dict(context))
