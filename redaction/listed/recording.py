"""Whatever changes the list through Django: normalised, with its line in the history, and raising the version."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from streams.models import Version

if TYPE_CHECKING:
    from redaction.models import RedactedPage

    PagesOf = models.QuerySet[RedactedPage]
else:
    PagesOf = models.QuerySet

log = logging.getLogger(__name__)

BATCH = 500
"""Maximum rows of one statement (SQLite bounds its parameters)."""
NO_REASON = "no reason was given: it was not done in the admin"


class Why(NamedTuple):
    """Why a change is made, and by whom: a user's name at the time."""

    reason: str
    by: str


_why = contextvars.ContextVar[Why | None]("why", default=None)


@contextlib.contextmanager
def because(reason: str, by: str) -> Iterator[None]:
    """Give the reason of what is changed inside; without one, it is the page's own."""
    token = _why.set(Why(reason, by))
    try:
        yield
    finally:
        _why.reset(token)


class Change:
    """What becomes of the list inside `changing`."""

    def __init__(self) -> None:
        self.removed: list[RedactedPage] = []
        self.added: list[RedactedPage] = []


@contextlib.contextmanager
def changing() -> Iterator[Change]:
    """Raise the list's version, and write into its history what is noted as changed; in one transaction."""
    change = Change()
    with transaction.atomic():
        Version.raise_for(Version.REDACTED_PAGES)
        yield change
        _record("removed", change.removed)
        _record("added", change.added)


def _record(what: str, pages: Sequence[RedactedPage]) -> None:
    model = apps.get_model("redaction", "PageChange")
    lines = []
    for page in pages:
        own = page.reason or NO_REASON if what == "added" else NO_REASON
        why = _why.get() or Why(own, page.added_by.get_username() if what == "added" and page.added_by else "")
        lines.append(model(what=what, domain=page.domain, title=page.title, key=page.key, reason=why.reason, by=why.by))
    model.objects.bulk_create(lines, batch_size=BATCH)
    if what == "removed":
        _forget_matches(pages)


def _forget_matches(pages: Sequence[RedactedPage]) -> None:
    """What is counted of a page begins when it is listed."""
    matches = apps.get_model("redaction", "PageMatch").objects
    keys: dict[str, list[str]] = {}
    for page in pages:
        keys.setdefault(page.domain, []).append(page.key)
    for domain, of_domain in keys.items():
        for start in range(0, len(of_domain), BATCH):
            matches.filter(domain=domain, key__in=of_domain[start : start + BATCH]).delete()


class PageQuerySet(PagesOf):
    """What passes the models' own methods by."""

    def bulk_create(self, objs: Iterable[RedactedPage], *args: Any, **kwargs: Any) -> list[RedactedPage]:
        pages = list(objs)
        with changing() as change:
            listed = set(self.model._base_manager.values_list("domain", "key"))
            for page in pages:
                page.normalise()
                if page.identity not in listed:
                    listed.add(page.identity)
                    change.added.append(page)
            return super().bulk_create(pages, *args, **kwargs)

    def update(self, **values: Any) -> int:
        if {"domain", "title", "key"}.isdisjoint(values):
            return super().update(**values)
        with changing() as change:
            before = {page.pk: page for page in self.all()}
            count = super().update(**values)
            for page in _rows(self.model, list(before)):
                stored = page.identity
                page.normalise()
                if page.identity != stored:
                    self.model._base_manager.filter(pk=page.pk).update(domain=page.domain, key=page.key)
                if page.identity != before[page.pk].identity:
                    change.removed.append(before[page.pk])
                    change.added.append(page)
        return count

    def delete(self) -> tuple[int, dict[str, int]]:
        with changing() as change:
            change.removed += self.all()
            return super().delete()

    update.alters_data = delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def _rows(model: type[RedactedPage], numbers: Sequence[int]) -> Iterator[RedactedPage]:
    for start in range(0, len(numbers), BATCH):
        yield from model._base_manager.filter(pk__in=numbers[start : start + BATCH])


def before_save(sender: type[RedactedPage], instance: RedactedPage, **kwargs: Any) -> None:
    """Signal pre_save, of `loaddata` too, which calls no method of the model."""
    instance.normalise()
    instance.added_at = instance.added_at or timezone.now()  # a fixture may lack it
    instance._before = sender._base_manager.filter(pk=instance.pk).first() if instance.pk else None  # type: ignore


def after_save(sender: type[RedactedPage], instance: RedactedPage, raw: bool = False, **kwargs: Any) -> None:
    """Signal post_save."""
    before = instance.__dict__.pop("_before", None)
    if before is not None and before.identity == instance.identity:
        return
    try:
        with changing() as change:
            change.removed += [before] if before is not None else []
            change.added.append(instance)
    except IntegrityError:
        if not raw:
            raise
        # What is loaded has its own history, whose numbers the database has not counted yet.
        with transaction.atomic():
            Version.raise_for(Version.REDACTED_PAGES)
        log.warning("A page was loaded into the list of redacted pages without a line in its history")
