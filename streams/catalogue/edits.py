"""Writes what admins set for streams; nothing else does.

The history (Django's LogEntry) has each change, with the values before and after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone

from streams.catalogue.explain import leaves
from streams.catalogue.json_text import canonical
from streams.core.catalogue import Edit
from streams.models import ConfiguredStream, Version

Allowed = ConfiguredStream.Allowed

NO_VALUE = "nothing"


class ChangedMeanwhileError(Exception):
    """Somebody else has changed the stream since the form was shown; the message says who."""


class Wanted(NamedTuple):
    """What admins set for a stream."""

    override: Mapping[str, Any]
    allowed: str = Allowed.AS_CONFIGURED

    @classmethod
    def of(cls, row: ConfiguredStream | None) -> Wanted:
        """Return what the row has; None has nothing."""
        return cls({}) if row is None else cls(row.override, row.allowed)

    @property
    def edit(self) -> Edit:
        """The same for the catalogue."""
        return ConfiguredStream(override=self.override, allowed=self.allowed).edit or Edit({})

    @property
    def fingerprint(self) -> str:
        """A digest that is equal for equal values; of JSON, which unlike Python distinguishes `true` from 1."""
        return hashlib.sha256(canonical([self.override, self.allowed]).encode()).hexdigest()[:32]


def write(wanted: Mapping[str, Wanted], user: Any, seen: Mapping[str, str] | None = None) -> list[str]:
    """Set what is wanted, creating streams that do not exist; return the names of those that changed.

    Args:
        wanted: What to set, by the stream's name.
        user: The admin.
        seen: Fingerprints of what the forms showed, "" for a stream that did not exist.

    Raises:
        ChangedMeanwhileError: A stream has changed since; nothing is written.
    """
    with transaction.atomic():
        Version.lock(Version.STREAMS)
        rows = {row.name: row for row in ConfiguredStream.objects.filter(name__in=list(wanted))}
        for name, fingerprint in (seen or {}).items():
            row = rows.get(name)
            if fingerprint != ("" if row is None else Wanted.of(row).fingerprint):
                raise ChangedMeanwhileError(_meanwhile(row))
        changed = {
            name: (rows.get(name), new)
            for name, new in wanted.items()
            if name not in rows or Wanted.of(rows[name]).fingerprint != new.fingerprint
        }
        if not changed:
            return []
        Version.raise_for(Version.STREAMS)
        now, by = timezone.now(), user.get_username()
        entries = []
        for name, (old, new) in changed.items():
            row = old or ConfiguredStream(name=name)
            text = described(Wanted.of(old), new)
            row.override, row.allowed, row.edited_by, row.edited_at = dict(new.override), new.allowed, by, now
            row.save()
            entries.append(_entry(row, user, CHANGE if old else ADDITION, text))
        LogEntry.objects.bulk_create(entries)
    return list(changed)


def remove(name: str, user: User) -> bool:
    """Remove a stream that only admins have defined; False if it no longer exists or is defined elsewhere too."""
    with transaction.atomic():
        Version.lock(Version.STREAMS)
        row = ConfiguredStream.objects.filter(name=name, fetched__isnull=True).first()
        if row is None:
            return False
        Version.raise_for(Version.STREAMS)
        _entry(row, user, DELETION, described(Wanted.of(row), Wanted({}))).save()
        row.delete()
    return True


def described(old: Wanted, new: Wanted) -> str:
    """Return the changes for the history: `allowed: no → yes; topics: ["a"] → ["b"]`."""
    parts = [f"allowed: {old.allowed} → {new.allowed}"] if old.allowed != new.allowed else []
    before, after = dict(leaves(old.override)), dict(leaves(new.override))
    for path in dict.fromkeys([*before, *after]):
        was, now = _value_of(before, path), _value_of(after, path)
        if was != now:
            parts.append(f"{dotted(path)}: {was} → {now}")
    return "; ".join(parts)


def dotted(path: tuple[str, ...]) -> str:
    """Return the path as text; a key that contains a dot is quoted."""
    return ".".join(canonical(key) if "." in key or not key else key for key in path)


def _value_of(values: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    return canonical(values[path]) if path in values else NO_VALUE


def _meanwhile(row: ConfiguredStream | None) -> str:
    if row is None:
        return "The stream has been removed since you opened it."
    by = f" by {row.edited_by}" if row.edited_by else ""
    return f"The stream has been changed{by} since you opened it. Check it again."


def _entry(row: ConfiguredStream, user: User, flag: int, text: str) -> LogEntry:
    return LogEntry(
        user_id=user.pk,
        content_type_id=ContentType.objects.get_for_model(ConfiguredStream).pk,
        object_id=str(row.pk),
        object_repr=row.name[:200],
        action_flag=flag,
        change_message=text,
    )
