"""What the templates of the admin ask for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from streams import admin_sync

register = template.Library()


@register.simple_tag(takes_context=True)
def sync_state(context: Mapping[str, Any]) -> dict[str, Any]:
    """How the stream configuration stands; for the admin's front page, which no view of ours makes."""
    return admin_sync.sync_state(context["request"])
