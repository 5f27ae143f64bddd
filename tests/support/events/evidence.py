"""Events that confirm the pages that tests list, and a process that holds them in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from redaction.entries.evidence import Evidence
from streams.core.events import Event
from streams.core.positions import TopicPartition
from streams.core.ring import Ring

RU, DE, WIKIDATA, COMMONS = "ru.wikipedia.org", "de.wikipedia.org", "www.wikidata.org", "commons.wikimedia.org"


def event(domain: str, namespace: int, title: str, shape: str = "recentchange") -> dict[str, Any]:
    """As a stream of that shape has it."""
    meta = {"domain": domain}
    if shape == "recentchange":
        return {"meta": meta, "title": title, "namespace": namespace, "user": "Secret Name"}
    key = title.replace(" ", "_")
    if shape == "page_change":
        return {"meta": meta, "page": {"page_title": key, "namespace_id": namespace}, "performer": {"user_text": "S"}}
    return {"meta": meta, "page_title": key, "page_namespace": namespace}


def some_events() -> list[dict[str, Any]]:
    """Of a few wikis, 891 in all."""
    events = [event(RU, 0, "Один: два")] * 20 + [event(RU, 2, "Участник:Пример", "page_change")] * 7
    events += [event(RU, 2, "Участница:Пример", "older")] * 3 + [event(RU, 3, "Обсуждение участника:Пример")] * 2
    events += [event(RU, 4, "Википедия:Форум")] * 2 + [event(RU, 6, "Файл:Foo.jpg")]
    events += [event(DE, 2, "Benutzer:Beispiel")] * 4 + [event(DE, 0, "Zwei")] * 9
    events += [event(WIKIDATA, 0, "Q42")] * 812 + [event(WIKIDATA, 120, "Property:P31")]
    return events + [event(COMMONS, 6, "File:Foo.jpg")] * 30


def encoded(events: Iterable[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(each, ensure_ascii=False).encode() for each in events]


def evidence() -> Evidence:
    seen = Evidence()
    seen.take(encoded(some_events()))
    return seen


def hub_with(events: Iterable[dict[str, Any]], available: bool = False) -> Any:
    """A hub that holds events in two rings."""
    values = encoded(events)
    partitions = {}
    for number in (0, 1):
        ring = Ring(0, 8 << 20)
        mine = values[number::2]
        ring.extend([Event(offset, 1, value) for offset, value in enumerate(mine)], len(mine))
        partitions[TopicPartition("t", number)] = SimpleNamespace(ring=ring)
    return SimpleNamespace(partitions=partitions, available=available)
