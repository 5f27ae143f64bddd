"""What the front page of the admin says about a held list."""

from __future__ import annotations

from django import template
from django.db import DatabaseError

from redaction.listed import holds
from redaction.models import Hold

register = template.Library()


@register.simple_tag
def held_lists() -> list[tuple[Hold, list[tuple[str, str]]]]:
    """Return each loss of the list that awaits a decision, with the domain and title of its pages."""
    try:
        return holds.held()
    except DatabaseError:  # not migrated yet: another message says so
        return []
