from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_save, pre_save


class RedactionConfig(AppConfig):
    name = "redaction"
    verbose_name = "Redaction"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from redaction.listed.recording import after_save, before_save
        from redaction.models import RedactedPage

        pre_save.connect(before_save, RedactedPage)
        post_save.connect(after_save, RedactedPage)
