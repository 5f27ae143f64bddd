"""The form of the page "Test a redaction"."""

from __future__ import annotations

import time
from typing import Any

from django import forms

from redaction.admin.forms import DomainField, TitleField, clean_title
from redaction.check.check import Question, window_start
from redaction.entries.titles import Page
from streams.core.catalogue import Catalogue

MAX_REVISION = 2**63 - 1


class CheckForm(forms.Form):
    """Which events to test."""

    domain = DomainField(help_text="The wiki’s host name, such as ru.wikipedia.org.")
    title = TitleField(label="Page title", required=False)
    rev_id = forms.IntegerField(
        label="Revision id",
        min_value=1,
        max_value=MAX_REVISION,
        required=False,
        help_text="Only events of this revision. With it, the title is optional.",
    )
    since = forms.CharField(
        label="Time window",
        max_length=100,
        initial="1h",
        help_text="The time until now: 30m, 1h, 2d, or since a time such as 2026-07-01T12:00:00Z.",
    )
    streams = forms.CharField(
        max_length=20_000,
        required=False,
        help_text="Names, separated by commas. Empty: all that could carry the page’s events.",
    )

    # The browser's own messages would hide ours.
    use_required_attribute = False

    def __init__(self, *args: Any, catalogue: Catalogue | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._catalogue = catalogue
        for field in self.fields.values():
            field.widget.attrs |= {"autocomplete": "off", "spellcheck": "false", "class": "vTextField"}

    def clean_title(self) -> str:
        """Read the title, which may be a page's address."""
        return clean_title(self.cleaned_data)

    def clean_since(self) -> int:
        """Return when the time window begins, in ms since the epoch."""
        try:
            return window_start(self.cleaned_data["since"], int(time.time() * 1000))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def clean_streams(self) -> tuple[str, ...]:
        """Return the canonical names of the streams."""
        if self._catalogue is None:
            raise forms.ValidationError("The stream configuration has not been loaded yet; try again in a moment.")
        names = tuple(filter(None, (name.strip() for name in self.cleaned_data["streams"].split(","))))
        streams, unknown = self._catalogue.resolve(names or tuple(self._catalogue.streams))
        if unknown:
            raise forms.ValidationError(f"No such streams: {', '.join(unknown)[:500]}")
        return tuple(stream.name for stream in streams)

    def clean(self) -> dict[str, Any]:
        """Require a domain, and a title or a revision."""
        cleaned = super().clean() or {}
        if "domain" not in self.errors and "title" not in self.errors and not cleaned["domain"]:
            self.add_error("domain", "The domain is missing.")
        if not self.errors and not cleaned["title"] and cleaned["rev_id"] is None:
            self.add_error("title", "Give the title of the page, or a revision id, or both.")
        return cleaned

    @property
    def page(self) -> Page | None:
        """Return the page of a valid form, as it was understood; None without a title."""
        data = self.cleaned_data
        return Page(data["domain"], data["title"]) if data["title"] else None

    def question(self) -> Question:
        """Return what a valid form asks."""
        data = self.cleaned_data
        return Question(data["domain"], data["title"], data["rev_id"], data["since"], data["streams"])
