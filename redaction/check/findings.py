"""What a check of a redaction finds: each event of the page with its verdict, and the verdict on all of them.

Pure, as `redaction.check.verdict` is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from redaction.check.page_filter import About, about
from redaction.check.verdict import Leak, NotJsonError, Who, find_leaks, find_user_keys, removed_paths

NOT_SERVED = "it was not served: it was withheld, is no event, or did not arrive in time"
NO_RAW_RECORD = "its raw record was not found, so the verdict is by shape alone"
_MAX_DATE_MS = 253_402_300_799_999  # 9999, the last that datetime can say


class Verdict(StrEnum):
    """Of one event, or of a whole check."""

    CLEAN = "clean"
    LEAK = "leak"
    NOT_FOUND = "not found"


class Proof(StrEnum):
    """The most that the clean events of a page prove."""

    REAL = "real events"
    NAMESPACE = "real events of its namespace"
    """Only test edits were found, but real events have this domain and this beginning of a title."""
    LIST = "test edits only"
    """The list works, for a title that perhaps no real event has."""
    NONE = "nothing"


class RecordPlace(NamedTuple):
    """Where an event stands; `time` is ISO 8601."""

    stream: str
    topic: str
    partition: int
    offset: int
    time: str


@dataclass(frozen=True)
class Finding:
    """One event of the page.

    `raw` and `served` are what Kafka holds and what the client got, None if there is none. Only people who may see
    names may see them: they are in no repr.
    """

    position: RecordPlace
    verdict: Verdict
    removed: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] = ()
    note: str = ""
    raw: bytes | None = field(default=None, repr=False)
    served: bytes | None = field(default=None, repr=False)

    @property
    def about(self) -> About:
        """Return what the event is."""
        return about(self.served or self.raw or b"")

    def public(self) -> dict[str, Any]:
        """Return it as JSON's types, without `raw` and `served`."""
        return {
            **self.position._asdict(),
            **self.about._asdict(),
            "verdict": self.verdict.value,
            "removed": list(self.removed),
            "leaks": [leak._asdict() for leak in self.leaks],
            "note": self.note,
        }


class Progress(NamedTuple):
    """How far a check is.

    `step` is "raw" or "served"; `records` counts those of this step; `time` is the time that it has reached (ISO 8601);
    `part` is the part of the step that is done, 0 to 1, None if that is unknown.
    """

    step: str
    records: int
    time: str
    part: float | None


@dataclass(frozen=True)
class Result:
    """What a check has found.

    `by_shape`: it had no raw records. `held_from`: when what Kafka holds begins; "" if it holds the whole window.
    `doubts` are sentences on why the title may be wrong.
    """

    verdict: Verdict
    clean: int
    leaks: int
    not_served: int
    records: int
    since: str
    until: str
    by_shape: bool
    proof: Proof = Proof.REAL
    held_from: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """Return for people what the test proves, and what it looked at."""
        said = [self._lead()]
        counts = [f"{self.clean:,} clean", f"{self.leaks:,} leaking"]
        if self.not_served:
            counts.append(f"{self.not_served:,} not served")
        how = ", judged by their shape alone, without the raw records" if self.by_shape else ""
        window = f"of {self.records:,} events from {self.since} to {self.until}{how}"
        said.append(f"Events of the page: {', '.join(counts)}, {window}.")
        if self.held_from:
            said.append(f"Kafka holds these streams only from {self.held_from} on: nothing before that was tested.")
        return [*said, *self.doubts]

    def _lead(self) -> str:
        if self.verdict is Verdict.LEAK:
            return "Leak: what clients get says who acted."
        if self.verdict is Verdict.CLEAN and self.proof is Proof.REAL:
            return "Clean: what clients get of the page’s events does not say who acted."
        if self.verdict is Verdict.CLEAN:
            return (
                "Clean: test edits of the page do not say who acted. No real event with this title has been seen, but "
                "real events of this wiki have titles that begin like it."
            )
        if self.clean:
            return (
                "Not found: this proves only that the list works. Test edits are redacted, but no real event with this "
                "title has been seen."
            )
        if self.not_served:
            return "Not found: this proves nothing. Kafka has events of the page, but none of them was served."
        return "Not found: this proves nothing. No event of the page was found."

    def public(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return {
            **asdict(self),
            "verdict": self.verdict.value,
            "proof": self.proof.value,
            "doubts": list(self.doubts),
            "sentences": self.sentences,
        }


def instant(ms: int) -> str:
    """Return a time in ISO 8601, UTC; "" for no time or one that no calendar has."""
    if not 0 <= ms <= _MAX_DATE_MS:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def judge(position: RecordPlace, raw: bytes | None, served: bytes | None, *, is_raw_known: bool) -> Finding:
    """Return the verdict on one event, by its shape and by its raw record, if there is one.

    `is_raw_known`: the check has raw records, so that this one should be there.
    """
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
        leaks = [Leak("", f"{error}, so its content cannot be checked")]
    verdict = Verdict.LEAK if leaks else Verdict.CLEAN
    return Finding(position, verdict, tuple(removed), tuple(leaks), note, raw, served)


def _is_under(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))
