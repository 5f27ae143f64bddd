"""What admins change of the streams, written: the only way in which their part of a row is changed.

Each change stands in the history (Django's LogEntry) with what was and what is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone

from streams.catalogue.explain import leaves
from streams.core.catalogue import Edit
from streams.models import ConfiguredStream, Version

Allowed = ConfiguredStream.Allowed

NO_VALUE = "nothing"


class ChangedMeanwhileError(Exception):
    """Somebody else has changed the stream since it was looked at; the message says who."""


class Wanted(NamedTuple):
    """The admin's part of a stream."""

    override: Mapping[str, Any]
    allowed: str = Allowed.AS_CONFIGURED

    @classmethod
    def of(cls, row: ConfiguredStream | None) -> Wanted:
        return cls({}) if row is None else cls(row.override, row.allowed)

    @property
    def edit(self) -> Edit:
        """As the catalogue knows it."""
        return ConfiguredStream(override=self.override, allowed=self.allowed).edit or Edit({})

    @property
    def fingerprint(self) -> str:
        """What tells whether it is still the same; JSON, unlike Python, knows `true` from 1."""
        return hashlib.sha256(_json([self.override, self.allowed]).encode()).hexdigest()[:32]


def write(wanted: Mapping[str, Wanted], user: Any, seen: Mapping[str, str] | None = None) -> list[str]:
    """Make the streams what is wanted; returns the names of those that were not so yet. New ones are made.

    `seen` are fingerprints of what was shown before, "" for a stream that was not there: raises ChangedMeanwhileError
    where one is something else by now, and writes nothing then.
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
    """Remove a stream that only admins have defined; False where it is not there any more, or is no such one."""
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
    """What changes between the two, for the history: `allowed: no → yes; topics: ["a"] → ["b"]`."""
    parts = [f"allowed: {old.allowed} → {new.allowed}"] if old.allowed != new.allowed else []
    before, after = dict(leaves(old.override)), dict(leaves(new.override))
    for path in dict.fromkeys([*before, *after]):
        was, now = _shown(before, path), _shown(after, path)
        if was != now:
            parts.append(f"{dotted(path)}: {was} → {now}")
    return "; ".join(parts)


def dotted(path: tuple[str, ...]) -> str:
    """The path as text; a key with a dot in it is quoted."""
    return ".".join(_json(key) if "." in key or not key else key for key in path)


def _shown(values: Mapping[tuple[str, ...], Any], path: tuple[str, ...]) -> str:
    return _json(values[path]) if path in values else NO_VALUE


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _meanwhile(row: ConfiguredStream | None) -> str:
    if row is None:
        return "The stream was removed meanwhile."
    by = f" by {row.edited_by}" if row.edited_by else ""
    return f"The stream was changed meanwhile{by}: look at it again."


def _entry(row: ConfiguredStream, user: User, flag: int, text: str) -> LogEntry:
    return LogEntry(
        user_id=user.pk,
        content_type_id=ContentType.objects.get_for_model(ConfiguredStream).pk,
        object_id=str(row.pk),
        object_repr=row.name[:200],
        action_flag=flag,
        change_message=text,
    )
