"""The filters of the list of streams. The database cannot answer them: they depend on the effective settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from streams.admin.overview import Listed, Overview, State
from streams.models import ConfiguredStream

if TYPE_CHECKING:
    from datetime import datetime

Test = Callable[[Listed, "datetime | None"], bool]


def _by_sync(stream: Listed, last: datetime | None) -> bool:
    at = stream.row.fetched_at
    return last is not None and at is not None and at >= last


def _by_admin(stream: Listed, last: datetime | None) -> bool:
    at = stream.row.edited_at
    return at is not None and (last is None or at >= last)


class OverviewFilter(admin.SimpleListFilter):
    """A filter by a test of each stream.

    `choices_by_value` maps each value to its label and its test. The test also gets the time at which the last
    synchronisation began that changed something.
    """

    choices_by_value: ClassVar[Mapping[str, tuple[str, Test]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the values and their labels."""
        return [(value, label) for value, (label, _) in self.choices_by_value.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[ConfiguredStream]:
        """Return the streams that pass the chosen test."""
        chosen = self.choices_by_value.get(self.value() or "")
        if chosen is None:
            return queryset
        overview = Overview.of(request)
        test = chosen[1]
        return queryset.filter(pk__in=[pk for pk, s in overview.streams.items() if test(s, overview.last_change)])


class StateFilter(OverviewFilter):
    """By whether clients can read the stream."""

    title = "exposed"
    parameter_name = "state"
    choices_by_value: ClassVar[Mapping[str, tuple[str, Test]]] = {
        "exposed": ("Yes", lambda stream, _: stream.state is State.EXPOSED),
        "hidden": ("No", lambda stream, _: stream.state is not State.EXPOSED),
        "unusable": ("No: unusable", lambda stream, _: stream.state is State.UNUSABLE),
    }


class SchemaFilter(OverviewFilter):
    """By whether the settings name a schema."""

    title = "schema"
    parameter_name = "schema"
    choices_by_value: ClassVar[Mapping[str, tuple[str, Test]]] = {
        "yes": ("Named", lambda stream, _: stream.has_schema),
        "no": ("None", lambda stream, _: not stream.has_schema),
    }


class TopicsFilter(OverviewFilter):
    """By whether Kafka has the topics of an exposed stream."""

    title = "topics in Kafka"
    parameter_name = "topics"
    choices_by_value: ClassVar[Mapping[str, tuple[str, Test]]] = {
        "missing": ("Some or all missing", lambda stream, _: bool(stream.missing)),
        "there": ("None missing", lambda stream, _: stream.missing == ()),
    }


class ChangedFilter(OverviewFilter):
    """By who changed the stream since the last synchronisation that changed something."""

    title = "changed"
    parameter_name = "changed"
    choices_by_value: ClassVar[Mapping[str, tuple[str, Test]]] = {
        "since": ("Since the last sync", lambda stream, last: _by_sync(stream, last) or _by_admin(stream, last)),
        "sync": ("By that sync", _by_sync),
        "admin": ("By admins since then", _by_admin),
    }


class EditedFilter(OverviewFilter):
    """By what admins have set."""

    title = "admin changes"
    parameter_name = "edited"
    choices_by_value: ClassVar[Mapping[str, tuple[str, Test]]] = {
        "override": ("Has an override", lambda stream, _: bool(stream.row.override)),
        "only": ("Defined by admins only", lambda stream, _: stream.row.fetched is None and bool(stream.row.override)),
    }
