"""What the admin's front page says of pages that never matched an event."""

from __future__ import annotations

from typing import Any

from django import template

from redaction.admin.matches import never_matched_long

register = template.Library()


@register.simple_tag(takes_context=True)
def never_matched_pages(context: dict[str, Any]) -> tuple[int, int]:
    """Of the list, and of the configuration file."""
    return never_matched_long(context["request"])
