"""The Django app of the redacted pages."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_save, pre_save


class RedactionConfig(AppConfig):
    """The app `redaction`."""

    name = "redaction"
    verbose_name = "Redaction"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Record every change of the list, also by code that calls no method of the model."""
        # Models can only be imported once all apps are loaded.
        from redaction.listed.recording import after_save, before_save  # noqa: PLC0415
        from redaction.models import RedactedPage  # noqa: PLC0415

        pre_save.connect(before_save, RedactedPage)
        post_save.connect(after_save, RedactedPage)
