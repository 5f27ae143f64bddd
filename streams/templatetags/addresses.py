"""Addresses in templates: below the path that a proxy puts before all others (`url_prefix`)."""

from __future__ import annotations

from django import template
from django.urls import get_script_prefix

register = template.Library()


@register.simple_tag
def address(path: str) -> str:
    """Return the address of one of the service's own paths, such as `/?doc`."""
    return get_script_prefix() + path.removeprefix("/")
