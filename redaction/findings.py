"""What a check of a redaction finds: each event of the page with its verdict, and the verdict on all of them.

Pure, as `redaction.verdict` is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from redaction.verdict import Leak, NotJsonError, Who, find_leaks, find_user_keys, removed_paths

NOT_SERVED = "it was not served: it was withheld, is no event, or has not come in time"
NO_RAW_RECORD = "its raw record could not be found, so the verdict is by shape alone"
_MAX_DATE_MS = 253_402_300_799_999  # 9999, the last that datetime can say


class Verdict(StrEnum):
    CLEAN = "clean"
    LEAK = "leak"
    NOT_FOUND = "not found"


class Position(NamedTuple):
    """Where an event stands; `time` is ISO 8601."""

    stream: str
    topic: str
    partition: int
    offset: int
    time: str


@dataclass(frozen=True)
class Finding:
    """One event of the page. `raw` and `served` are what Kafka holds and what the client got, each None where there
    was none; they are for eyes that may see names, and in no repr.
    """

    position: Position
    verdict: Verdict
    removed: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()
    note: str = ""
    raw: bytes | None = field(default=None, repr=False)
    served: bytes | None = field(default=None, repr=False)

    def public(self) -> dict[str, Any]:
        """As JSON's types, without what was produced or served."""
        return {
            **self.position._asdict(),
            "verdict": self.verdict.value,
            "removed": list(self.removed),
            "leaks": [leak._asdict() for leak in self.leaks],
            "note": self.note,
        }


class Progress(NamedTuple):
    """`step`: "raw" or "served"; `records` so far in this step; `time` reached; `part` of the step done, 0…1, or None
    where nobody knows.
    """

    step: str
    records: int
    time: str
    part: float | None


@dataclass(frozen=True)
class Result:
    """`by_shape`: without the raw records."""

    verdict: Verdict
    clean: int
    leaks: int
    not_served: int
    records: int
    since: str
    until: str
    by_shape: bool

    def public(self) -> dict[str, Any]:
        """As JSON's types."""
        return {**asdict(self), "verdict": self.verdict.value}


def instant(ms: int) -> str:
    """ISO 8601, UTC; "" for no time or one that no calendar has."""
    if not 0 <= ms <= _MAX_DATE_MS:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def judge(position: Position, raw: bytes | None, served: bytes | None, *, is_raw_known: bool) -> Finding:
    """The verdict on one event: by its raw record, where there is one, and by shape. `is_raw_known`: it is at hand."""
    if served is None:
        return Finding(position, Verdict.NOT_FOUND, note=NOT_SERVED, raw=raw)
    note = NO_RAW_RECORD if raw is None and is_raw_known else ""
    removed: list[str] = []
    try:
        leaks = find_user_keys(served, Who.of(raw) if raw is not None else None)
        if raw is not None:
            named = find_leaks(raw, served)
            # A name says more than the key that it is under.
            leaks = named + [leak for leak in leaks if not any(_is_under(other.path, leak.path) for other in named)]
            removed = removed_paths(raw, served)
    except NotJsonError as error:
        leaks = [Leak("", f"{error}, so nobody can say what it holds")]
    verdict = Verdict.LEAK if leaks else Verdict.CLEAN
    return Finding(position, verdict, tuple(removed), tuple(leaks), note, raw, served)


def _is_under(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))
