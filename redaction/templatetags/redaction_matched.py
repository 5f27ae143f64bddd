"""What the admin's front page says about pages that never matched an event."""

from __future__ import annotations

from typing import Any

from django import template

from redaction.admin.matches import never_matched_long

register = template.Library()


@register.simple_tag(takes_context=True)
def never_matched_pages(context: dict[str, Any]) -> tuple[int, int]:
    """Return how many pages of the list, and of the configuration file, never matched."""
    return never_matched_long(context["request"])
