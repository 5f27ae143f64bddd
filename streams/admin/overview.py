"""All streams at a glance, for the admin's list, its search and its filters. The catalogue is compiled once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from django.http import HttpRequest

from streams.admin.process import AdminConfig, config_of, running
from streams.admin.topic_facts import absent_topics
from streams.catalogue.database import layers_of, read_rows
from streams.core.catalogue import Catalogue, Layers, compile_catalogue, deep_merge
from streams.models import ConfiguredStream, SyncRun

OVERVIEW = "_streams_overview"


class State(StrEnum):
    """Whether clients can read a stream, and if not, why."""

    EXPOSED = "exposed"
    DENIED = "denied"
    NOT_ALLOWED = "not allowed"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Listed:
    """One stream in the list. `reason` explains its state; `missing` are its topics that Kafka does not have.

    Kafka is only asked for the topics of exposed streams: `missing` is None for others, and before Kafka answered.
    `clients` is the number of clients of this process, None if unknown.
    """

    row: ConfiguredStream
    state: State
    reason: str
    settings: Mapping[str, Any]
    missing: tuple[str, ...] | None
    clients: int | None

    @property
    def topics(self) -> list[str]:
        """The topics in the effective settings."""
        return _texts(self.settings.get("topics"))

    @property
    def has_schema(self) -> bool:
        """Whether the effective settings name a schema."""
        return bool(self.settings.get("$schema") or self.settings.get("schema_title"))

    def matches(self, words: list[str]) -> bool:
        """Return whether every word is in the name, topics, aliases, description or schema, ignoring letter case."""
        keys = ("description", "schema_title", "$schema")
        texts = [self.row.name, *self.topics, *_texts(self.settings.get("stream_aliases"))]
        everything = "\n".join([*texts, *(str(self.settings.get(key) or "") for key in keys)]).casefold()
        return all(word.casefold() in everything for word in words)


class Overview:
    """All streams as the database, the configuration file and this process have them now."""

    def __init__(self, request: HttpRequest) -> None:
        """Read the database; use `of`, which does so once for each request."""
        self.config: AdminConfig = config_of(request)
        self.process = running(request)
        self.rows = read_rows()
        self.layers: Layers = layers_of(self.config, self.rows)
        self.absent_topics = absent_topics(self.process)

    @classmethod
    def of(cls, request: HttpRequest) -> Overview:
        """Return the overview of this request, made on first use."""
        found = getattr(request, OVERVIEW, None)
        if found is None:
            found = cls(request)
            setattr(request, OVERVIEW, found)
        return found

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue of what the database has now."""
        return compile_catalogue(self.layers, 0)

    @cached_property
    def last_change(self) -> datetime | None:
        """When the last synchronisation that changed something began."""
        runs = SyncRun.objects.filter(outcome__in=(SyncRun.Outcome.CHANGED, SyncRun.Outcome.APPLIED))
        return runs.order_by("-id").values_list("at", flat=True).first()

    @cached_property
    def streams(self) -> dict[int, Listed]:
        """The streams by primary key."""
        skipped = dict(self.catalogue.skipped)
        clients = self._clients()
        return {row.pk: self._listed(row, skipped, clients) for row in self.rows.values()}

    def _listed(self, row: ConfiguredStream, skipped: Mapping[str, str], clients: Mapping[str, int] | None) -> Listed:
        name = row.name
        settings: dict[str, Any] = {}
        for layer in self.layers.of(name):
            settings = deep_merge(settings, layer if isinstance(layer, Mapping) else {})
        stream = self.catalogue.streams.get(name)
        missing = None
        if stream is not None and self.absent_topics is not None:
            missing = tuple(topic for topic in stream.topics if topic in self.absent_topics)
        return Listed(
            row,
            *self._state(name, skipped),
            settings,
            missing,
            None if clients is None else clients.get(name, 0),
        )

    def _state(self, name: str, skipped: Mapping[str, str]) -> tuple[State, str]:
        if name in self.catalogue.streams:
            return State.EXPOSED, ""
        if name in skipped:
            return State.UNUSABLE, skipped[name]
        edit = self.layers.edits.get(name)
        if edit is not None and edit.allowed is False:
            return State.DENIED, "by an admin"
        if self.layers.allows(name):
            return State.UNUSABLE, "no longer defined anywhere"
        return State.NOT_ALLOWED, "allowed_streams does not name it"

    def _clients(self) -> dict[str, int] | None:
        if self.process is None:
            return None
        counts: dict[str, int] = {}
        for client in list(self.process.clients):
            for name in client.stream_names:
                counts[name] = counts.get(name, 0) + 1
        return counts


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []
