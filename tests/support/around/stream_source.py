"""The stream configuration in a file, and what becomes of it in the database: what tests of its way share."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction

from streams.catalogue.database import read_catalogue
from streams.catalogue.synchronise import SyncResult, synchronise
from streams.core.catalogue import Catalogue
from streams.models import ConfiguredStream, SyncRun, Version


@dataclass
class Source:
    stream_config_uri: str | None
    stream_config_uri_options: Mapping[str, Any] = field(default_factory=dict)
    stream_config_object_path: str | None = None
    stream_config_defaults: Mapping[str, object] = field(default_factory=dict)
    stream_config_overrides: Mapping[str, object] = field(default_factory=dict)
    allowed_streams: Collection[str] | None = None
    admin_topics: Collection[str] | None = ("*",)


class Written:
    """A source in a file."""

    def __init__(self, path: Path, **streams: Any) -> None:
        self.path = path
        self.config = Source(str(path))
        self.say(**streams)

    def say(self, **streams: Any) -> None:
        self.path.write_text(json.dumps(streams))

    def sync(self, **options: Any) -> SyncResult:
        return synchronise(self.config, **options)


def some(*names: str, **settings: Any) -> dict[str, Any]:
    return {name: {"topics": [f"eqiad.{name}"], **settings} for name in names}


def rows() -> dict[str, Any]:
    return {row.name: row.fetched for row in ConfiguredStream.objects.order_by("pk")}


def runs() -> list[tuple[str, str]]:
    """Outcome and error, the oldest first."""
    return list(SyncRun.objects.order_by("pk").values_list("outcome", "error"))


def everything() -> tuple[Any, ...]:
    """All that a synchronisation may write."""
    tables = (ConfiguredStream.objects.order_by("pk"), SyncRun.objects.order_by("pk"), Version.objects.order_by("pk"))
    return tuple(list(table.values()) for table in tables)


def catalogue(config: Any, known: Catalogue | None = None) -> Catalogue:
    found = read_catalogue(config, known)
    assert found is not None
    return found


def edit(name: str, **values: Any) -> None:
    with transaction.atomic():
        Version.raise_for(Version.STREAMS)
        ConfiguredStream.objects.update_or_create(name=name, defaults=values)
