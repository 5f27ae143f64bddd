"""The list of redacted pages, as admins edit it, and its history. Written by `redaction.pages` only."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class RedactedPage(models.Model):
    """A page whose events leave without saying who made them. `domain` and `key` are what is compared."""

    domain = models.CharField(max_length=253, help_text="The wiki's host name, such as ru.wikipedia.org.")
    title = models.CharField(
        max_length=512, help_text="With its namespace, in any spelling: case, blanks and underscores do not matter."
    )
    key = models.CharField(max_length=1536, editable=False)
    reason = models.CharField(max_length=500, help_text="Why it is listed: a ticket, a request. Only staff see it.")
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("domain", "key")
        constraints = (models.UniqueConstraint(fields=["domain", "key"], name="a_page_is_listed_once"),)
        permissions = (("view_raw", "Can see raw events in a test of a redaction"),)

    def __str__(self) -> str:
        return f"{self.domain}: {self.title}"


class PageChange(models.Model):
    """One line of the list's history: it outlives the page and the user that it speaks of."""

    class What(models.TextChoices):
        ADDED = "added", "added"
        REMOVED = "removed", "removed"

    what = models.CharField(max_length=10, choices=What.choices)
    domain = models.CharField(max_length=253)
    title = models.CharField(max_length=512)
    key = models.CharField(max_length=1536, default="", editable=False, help_text="As the page's, to be searched for.")
    reason = models.CharField(max_length=500)
    by = models.CharField(max_length=150, help_text="The user's name at the time.")
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ("-at", "-id")
        default_permissions = ("view",)
        verbose_name = "change of the list"
        verbose_name_plural = "changes of the list"

    def __str__(self) -> str:
        return f"{self.domain}: {self.title} {self.what}"
