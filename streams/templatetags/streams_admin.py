"""Tags that the admin's templates use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django import template

from streams.admin import sync_runs
from streams.admin.process import running
from streams.admin.texts import sentence

register = template.Library()


@register.simple_tag(takes_context=True)
def sync_state(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of the stream configuration; for the admin's front page, which is Django's view."""
    return sync_runs.sync_state(context["request"])


class Trouble(NamedTuple):
    """What is wrong with the service; nothing if there are no sentences."""

    is_ready: bool
    sentences: list[str]


@register.simple_tag(takes_context=True)
def trouble(context: Mapping[str, Any]) -> Trouble:
    """Return what is wrong with the service, with all its workers, without a query."""
    process = running(context["request"]) if "request" in context else None
    if process is None:
        return Trouble(True, [])
    unready, degraded = process.trouble()
    return Trouble(not unready, [sentence(each) for each in (*unready, *degraded)])
