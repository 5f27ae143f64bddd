"""What tests of the admin of streams share: a service that has a configuration, clients and a Kafka in memory."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User

from streams.catalogue.database import read_layers
from streams.catalogue.edits import Wanted
from streams.catalogue.synchronise import SyncResult
from streams.core.catalogue import compile_catalogue
from streams.engine.lookups import Lookups
from streams.engine.memory import MemorySource
from streams.models import ConfiguredStream, SyncRun
from tests.support.admin import ServiceClient

STREAMS = "/admin/streams/configuredstream/"
RUNS = "/admin/streams/syncrun/"
SYNC = RUNS + "sync/"
GROUP = "stream admins"
AS_CONFIGURED, YES, NO = ConfiguredStream.Allowed.values


def config(**settings: Any) -> Any:
    """A configuration that fetches from somewhere, and admits all topics; all else is at its default."""
    defaults = {
        "stream_config_uri": "/streams.yaml",
        "stream_config_uri_options": {},
        "stream_config_object_path": None,
        "stream_config_defaults": {},
        "stream_config_overrides": {},
        "allowed_streams": None,
        "admin_uri_hosts": (),
        "admin_topics": ("*",),
        "stream_config_ttl": 0.0,
    }
    return SimpleNamespace(**defaults | settings)


class FakeRefresh:
    """A refresh that does what `next` says, as a process has it."""

    def __init__(self, settings: Any) -> None:
        self.config = settings
        self.last: SyncResult | None = None
        self.last_good_at: float | None = None
        self.next: SyncResult | Exception = SyncResult(SyncRun.Outcome.UNCHANGED, "/streams.yaml", 0.1)
        self.asked_by: list[str] = []

    async def run(self, *, force: bool = False, by: str = "") -> SyncResult:
        assert not force
        self.asked_by.append(by)
        if isinstance(self.next, Exception):
            raise self.next
        self.last = self.next
        if self.next.is_good:
            self.last_good_at = time.time()
        return self.next


def process(clients: Iterable[Iterable[str]] = (), source: MemorySource | None = None, **settings: Any) -> Any:
    """The parts of a service: `clients` are the names of the streams that each follows."""
    source = source or MemorySource()
    has_topics = bool(source._logs)
    made = config(**settings)
    catalogue = compile_catalogue(read_layers(made), 0)
    if has_topics:
        async_to_sync(source.refresh)(
            {topic for each in catalogue.streams.values() for topic in (*each.topics, *each.topics_allowed)}
        )
    return SimpleNamespace(
        catalogue=catalogue,
        clients=[SimpleNamespace(stream_names=tuple(names)) for names in clients],
        refresh=FakeRefresh(made),
        schemas=SimpleNamespace(of=dict[str, Any]().get, problems={}),
        source=source,
        settings=SimpleNamespace(max_streams=50, ui_enabled=True),
        hub=SimpleNamespace(has_metadata=has_topics, available=True, lookups=Lookups(source)),
    )


def service_client(user: User, of: Any) -> ServiceClient:
    return ServiceClient(user, {}, **vars(of))


def stream(name: str, settings: Mapping[str, Any] | None = None, **fields: Any) -> ConfiguredStream:
    """A stream as the source described it, of the topic that has its name unless `settings` has others."""
    fetched = {"topics": [name]} if settings is None else dict(settings)
    row: ConfiguredStream = ConfiguredStream.objects.create(**{"name": name, "fetched": fetched, **fields})
    return row


def listed(client: Any, **query: str) -> list[str]:
    """Return the names that the list of streams shows for a query."""
    answer = client.get(STREAMS, query)
    assert answer.status_code == 200
    return sorted(row.name for row in answer.context["cl"].result_list)


def page_of(row: ConfiguredStream) -> str:
    return f"{STREAMS}{row.pk}/change/"


def edit(row: ConfiguredStream, override: str = "{}", allowed: str = AS_CONFIGURED, **more: Any) -> dict[str, Any]:
    """What the form of a stream's page sends; `step="apply"` and `confirmed` are what the next page sends."""
    return {"override": override, "allowed": allowed, "seen": Wanted.of(row).fingerprint, **more}


def now(name: str) -> Wanted:
    """The admin's part of the stream as it is."""
    return Wanted.of(ConfiguredStream.objects.get(name=name))


def as_read(markup: str) -> str:
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", markup).split()))


def text_of(answer: Any) -> str:
    """What is read on the page."""
    return as_read(answer.content.decode())
