"""What the templates of the admin ask for themselves."""

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
    """How the stream configuration stands; for the admin's front page, which no view of ours makes."""
    return sync_runs.sync_state(context["request"])


class Trouble(NamedTuple):
    """What is wrong with the process that serves the page; without sentences, nothing."""

    is_ready: bool
    sentences: list[str]


@register.simple_tag(takes_context=True)
def trouble(context: Mapping[str, Any]) -> Trouble:
    """Return what `/readyz` says of this process; asks no database."""
    process = running(context["request"]) if "request" in context else None
    if process is None:
        return Trouble(True, [])
    reasons = process.unready()
    return Trouble(not reasons, [sentence(each) for each in (*reasons, *process.degraded())])
