"""The list of redacted pages, its history, and what the server processes write about it.

However a page is saved, deleted or changed (the admin, a shell, `loaddata`), the models normalise it, write the history
and raise the version that the processes poll. Only SQL bypasses them: see `redaction.listed.in_force`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models, transaction

from redaction.entries.titles import canonical_domain
from redaction.listed.recording import PageQuerySet, changing
from streams.core.spelling import normalise_title
from streams.models import Version


class RedactedPage(models.Model):
    """A page whose events leave without saying who made them. `domain` and `key` are compared with events."""

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

    objects = models.Manager.from_queryset(PageQuerySet)()

    class Meta:
        """Options of the table."""

        ordering = ("domain", "key")
        constraints = (models.UniqueConstraint(fields=["domain", "key"], name="a_page_is_listed_once"),)
        permissions = (("view_raw", "Can see raw events in a test of a redaction"),)

    def __str__(self) -> str:
        """Return domain and title."""
        return f"{self.domain}: {self.title}"

    @property
    def identity(self) -> tuple[str, str]:
        """Return what is the same for every spelling of the page."""
        return self.domain, self.key

    def normalise(self) -> None:
        """Set `domain` and `key` from what was written."""
        self.domain = canonical_domain(self.domain)
        self.key = normalise_title(self.title)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the page, with its line in the history and a new version of the list."""
        fields = kwargs.get("update_fields")
        if fields is not None and not {"domain", "title"}.isdisjoint(fields):
            kwargs["update_fields"] = {*fields, "domain", "key"}
        # redaction.listed.recording writes the history and the version at a signal, in the same transaction.
        with transaction.atomic():
            Version.lock(Version.REDACTED_PAGES)  # first, as all who change the list do
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the page, with a line in the history and a new version of the list."""
        with changing() as change:
            deleted = super().delete(*args, **kwargs)
            change.removed.append(self)
        return deleted


class PageChange(models.Model):
    """One line of the list's history. It outlives the page and the user that it names."""

    class What(models.TextChoices):
        """What was done."""

        ADDED = "added", "added"
        REMOVED = "removed", "removed"
        APPLIED = "applied", "held list applied"

    what = models.CharField(max_length=10, choices=What.choices)
    domain = models.CharField(max_length=253)
    title = models.CharField(max_length=512)
    key = models.CharField(
        max_length=1536, default="", db_default="", editable=False, help_text="As the page's, to be searched for."
    )
    reason = models.CharField(max_length=500)
    by = models.CharField(max_length=150, help_text="The user's name at the time.")
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        """Options of the table."""

        ordering = ("-at", "-id")
        default_permissions = ("view",)
        verbose_name = "change of the list"
        verbose_name_plural = "changes of the list"

    def __str__(self) -> str:
        """Return the page and what was done."""
        return f"{self.domain}: {self.title} {self.what}"


class Hold(models.Model):
    """Pages that were in force and disappeared from the list without a removal in its history.

    They stay in force, in every process, until an admin applies the list without them (`redaction.listed.holds`). The
    process that misses them first writes this.
    """

    at = models.DateTimeField(auto_now_add=True)
    why = models.TextField(help_text="A sentence, without the pages' titles.")
    pages = models.TextField(default="[]", help_text="JSON: a list of domain and title.")

    class Meta:
        """Options of the table."""

        ordering = ("id",)
        default_permissions = ()
        permissions = (("apply_hold", "Can apply a list of redacted pages that is held"),)
        verbose_name = "held redaction list"
        verbose_name_plural = "held redaction lists"

    def __str__(self) -> str:
        """Return why the pages are held."""
        return self.why


class PageMatch(models.Model):
    """When a page, of the list or of the configuration file, last matched an event, and how many it has matched."""

    domain = models.CharField(max_length=253)
    key = models.CharField(max_length=1536)
    last_at = models.DateTimeField()
    events = models.PositiveBigIntegerField()

    class Meta:
        """Options of the table."""

        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["domain", "key"], name="a_page_has_one_count"),)

    def __str__(self) -> str:
        """Return the page and its count."""
        return f"{self.domain}: {self.key}: {self.events} until {self.last_at}"
