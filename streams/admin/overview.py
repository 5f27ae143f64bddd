"""All streams at a glance: what the admin's list shows, searches and filters by. The catalogue is compiled once."""

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
    EXPOSED = "exposed"
    DENIED = "denied"
    NOT_ALLOWED = "not allowed"
    UNFIT = "cannot be served"


@dataclass(frozen=True, slots=True)
class Listed:
    """One stream. `reason` says more about its state; `missing` are its topics that Kafka does not have.

    Kafka is only asked for the topics of exposed streams: `missing` is None for others, and where it is not known.
    """

    row: ConfiguredStream
    state: State
    reason: str
    settings: Mapping[str, Any]
    missing: tuple[str, ...] | None
    clients: int | None

    @property
    def topics(self) -> list[str]:
        return _texts(self.settings.get("topics"))

    @property
    def has_schema(self) -> bool:
        return bool(self.settings.get("$schema") or self.settings.get("schema_title"))

    def matches(self, words: list[str]) -> bool:
        """Whether every word is found in its name, topics, aliases, description or schema; letter case is ignored."""
        keys = ("description", "schema_title", "$schema")
        texts = [self.row.name, *self.topics, *_texts(self.settings.get("stream_aliases"))]
        everything = "\n".join([*texts, *(str(self.settings.get(key) or "") for key in keys)]).casefold()
        return all(word.casefold() in everything for word in words)


class Overview:
    """As the database, the configuration file and this process have it at this moment."""

    def __init__(self, request: HttpRequest) -> None:
        self.config: AdminConfig = config_of(request)
        self.process = running(request)
        self.rows = read_rows()
        self.layers: Layers = layers_of(self.config, self.rows)
        self.absent_topics = absent_topics(self.process)

    @classmethod
    def of(cls, request: HttpRequest) -> Overview:
        """One for each request."""
        found = getattr(request, OVERVIEW, None)
        if found is None:
            found = cls(request)
            setattr(request, OVERVIEW, found)
        return found

    @cached_property
    def catalogue(self) -> Catalogue:
        return compile_catalogue(self.layers, 0)

    @cached_property
    def last_change(self) -> datetime | None:
        """When the last synchronisation began that changed something."""
        runs = SyncRun.objects.filter(outcome__in=(SyncRun.Outcome.CHANGED, SyncRun.Outcome.APPLIED))
        return runs.order_by("-id").values_list("at", flat=True).first()

    @cached_property
    def streams(self) -> dict[int, Listed]:
        """By key."""
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
            return State.UNFIT, skipped[name]
        edit = self.layers.edits.get(name)
        if edit is not None and edit.allowed is False:
            return State.DENIED, "by an admin"
        if self.layers.allows(name):
            return State.UNFIT, "nothing describes it any more"
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
