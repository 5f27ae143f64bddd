"""An event as it was produced: a service adds where it was in its Kafka, and that is taken out again.

Source: wire contract, "The two formats": `meta.topic`, `meta.partition`, `meta.offset` and `meta.key`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

CANARY_DOMAIN = "canary"

_Members = dict[str, msgspec.Raw]
_members = msgspec.json.Decoder(_Members)


@dataclass(frozen=True, slots=True)
class MirroredEvent:
    """One record to write: `offset` is where it was in the source's partition, `timestamp` its Kafka time in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    is_canary: bool


def read_event(data: bytes, identifier: str) -> MirroredEvent:
    """Return the event of a message's data and id.

    Raises ValueError, with a sentence, if the event does not say which record it was.
    """
    try:
        members = _members.decode(data)
        meta = _members.decode(members.get("meta", msgspec.Raw(b"null")))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"an event is not a JSON object with a `meta`: {error}") from None
    topic, partition, offset = (_value(meta.pop(name, None)) for name in ("topic", "partition", "offset"))
    if not isinstance(topic, str) or not _is_count(partition) or not _is_count(offset):
        raise ValueError("an event lacks its topic, partition or offset")
    key = _key(_value(meta.pop("key", None)))
    if meta:
        members["meta"] = msgspec.Raw(msgspec.json.encode(meta))
    else:
        del members["meta"]  # the service made it
    return MirroredEvent(
        topic,
        partition,
        offset,
        timestamp_of(identifier, topic, partition),
        key,
        msgspec.json.encode(members),
        _value(meta.get("domain")) == CANARY_DOMAIN,
    )


@lru_cache(maxsize=8)  # the id of an event is looked at several times, and may have 4 kB
def entries_of(identifier: str) -> list[dict[str, Any]]:
    """Return the entries of an id, one for each topic-partition; none where it is not such an id."""
    try:
        entries = msgspec.json.decode(identifier)
    except msgspec.DecodeError:
        return []
    if not isinstance(entries, list):
        return []
    return [each for each in entries if isinstance(each, dict) and isinstance(each.get("topic"), str)]


def timestamp_of(identifier: str, topic: str, partition: int) -> int:
    """Return a record's Kafka timestamp in ms: an id has that of the last event of each partition, plus one.

    Raises ValueError where the id does not have it.
    """
    for entry in entries_of(identifier):
        if entry["topic"] == topic and entry.get("partition") == partition and _is_count(entry.get("timestamp")):
            return max(0, int(entry["timestamp"]) - 1)
    raise ValueError(f"the id of an event does not have the time of {topic} partition {partition}")


def _value(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _key(value: object) -> bytes | None:
    """Return a record's key: text here, a list of bytes from the old service."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list) and all(isinstance(each, int) and 0 <= each < 256 for each in value):
        return bytes(value)
    return None
