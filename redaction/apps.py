from __future__ import annotations

from django.apps import AppConfig


class RedactionConfig(AppConfig):
    name = "redaction"
    verbose_name = "Redaction"
    default_auto_field = "django.db.models.BigAutoField"
