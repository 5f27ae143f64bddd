"""The Django app of the streams."""

from __future__ import annotations

from django.apps import AppConfig


class StreamsConfig(AppConfig):
    """The app `streams`."""

    name = "streams"
    default_auto_field = "django.db.models.BigAutoField"
