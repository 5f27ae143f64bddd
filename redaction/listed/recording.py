"""Records every change of the list through Django: normalises it, adds a line to the history, raises the version."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from django.apps import apps
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from streams.models import Version

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    PagesOf = models.QuerySet[Any]
else:
    PagesOf = models.QuerySet

log = logging.getLogger(__name__)

BATCH = 500
"""Maximum rows of one statement (SQLite bounds its parameters)."""
NO_REASON = "no reason given: not changed in the admin"


class ListedPage(Protocol):
    """A `redaction.models.RedactedPage`; that module imports this one."""

    pk: Any
    domain: Any
    title: Any
    key: Any
    reason: Any

    @property
    def added_by(self) -> User | None:
        """Return who listed the page."""

    @property
    def identity(self) -> tuple[str, str]:
        """Return what is the same for every spelling of the page."""

    def normalise(self) -> None:
        """Set domain and key from what was written."""


class Why(NamedTuple):
    """Why a change is made, and by which user (the name at the time)."""

    reason: str
    by: str


_why = contextvars.ContextVar[Why | None]("why", default=None)


@contextlib.contextmanager
def because(reason: str, by: str) -> Iterator[None]:
    """Give the reason of the changes inside the block; elsewhere, a page's own reason counts."""
    token = _why.set(Why(reason, by))
    try:
        yield
    finally:
        _why.reset(token)


class Change:
    """The pages that `changing` records as removed and added."""

    def __init__(self) -> None:
        self.removed: list[ListedPage] = []
        self.added: list[ListedPage] = []


@contextlib.contextmanager
def changing() -> Iterator[Change]:
    """Raise the list's version and record the changes that the block notes, in one transaction."""
    change = Change()
    with transaction.atomic():
        Version.raise_for(Version.REDACTED_PAGES)
        yield change
        _record("removed", change.removed)
        _record("added", change.added)


def _record(what: str, pages: Sequence[ListedPage]) -> None:
    model = apps.get_model("redaction", "PageChange")
    lines = []
    for page in pages:
        own = page.reason or NO_REASON if what == "added" else NO_REASON
        why = _why.get() or Why(own, page.added_by.get_username() if what == "added" and page.added_by else "")
        lines.append(model(what=what, domain=page.domain, title=page.title, key=page.key, reason=why.reason, by=why.by))
    model.objects.bulk_create(lines, batch_size=BATCH)
    if what == "removed":
        _forget_matches(pages)


def _forget_matches(pages: Sequence[ListedPage]) -> None:
    """Drop the counts of pages: they begin again if a page is listed again."""
    matches = apps.get_model("redaction", "PageMatch").objects
    keys: dict[str, list[str]] = {}
    for page in pages:
        keys.setdefault(page.domain, []).append(page.key)
    for domain, of_domain in keys.items():
        for start in range(0, len(of_domain), BATCH):
            matches.filter(domain=domain, key__in=of_domain[start : start + BATCH]).delete()


class PageQuerySet(PagesOf):
    """Records what bypasses the models' own methods."""

    def bulk_create(self, objs: Iterable[ListedPage], *args: Any, **kwargs: Any) -> list[ListedPage]:
        """List pages, recorded as every change."""
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
        """Change rows; another domain or title is recorded as a removal and an addition."""
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
        """Take pages off the list, recorded as every change."""
        with changing() as change:
            change.removed += self.all()
            return super().delete()

    update.alters_data = delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def _rows(model: type[Any], numbers: Sequence[int]) -> Iterator[ListedPage]:
    for start in range(0, len(numbers), BATCH):
        yield from model._base_manager.filter(pk__in=numbers[start : start + BATCH])


def before_save(sender: type[models.Model], instance: Any, **_: Any) -> None:
    """Receive the signal pre_save; `loaddata` sends it too, and calls no method of the model."""
    instance.normalise()
    instance.added_at = getattr(instance, "added_at", None) or timezone.now()  # a fixture may lack it
    instance._before = sender._base_manager.filter(pk=instance.pk).first() if instance.pk else None


def after_save(instance: ListedPage, raw: bool = False, **_: Any) -> None:
    """Receive the signal post_save."""
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
        # A fixture has its own history, whose ids collide with those that the database gives.
        with transaction.atomic():
            Version.raise_for(Version.REDACTED_PAGES)
        log.warning("A page was loaded into the list of redacted pages without a line in its history")
