"""Synchronising the database with the source of the streams: fetch, compare, and store, hold or reject.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from django.db import close_old_connections, transaction
from django.utils import timezone

from streams.catalogue.database import StreamConfigSource, layers_of, listed, read_rows
from streams.catalogue.fetched import Document, Fetched, fetch_source, source_name
from streams.catalogue.json_text import canonical
from streams.catalogue.judge import Judgement, compare, in_file, judge
from streams.catalogue.lease import STAYS_SECONDS, Replica, stored_lease
from streams.core.catalogue import Problem, compile_catalogue
from streams.models import ConfiguredStream, SourceLease, SyncRun, Version

logger = logging.getLogger(__name__)

HISTORY_RUNS = 200
"""Maximum number of runs that the history keeps."""
MAX_LEFT_OUT = 100
"""Maximum number of skipped streams that a run of the history names."""
BATCH = 500
"""Maximum rows of one statement (SQLite limits its parameters)."""

Outcome = SyncRun.Outcome


class NothingHeldError(Exception):
    """The run is not, or no longer, awaiting approval; the message says so."""


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a synchronisation did, or would do.

    `added`, `removed` and `changed` are the names of streams that the source (or the configuration file) defines;
    `withdrawn` are those that clients can read before, but not after. `error` says why it failed or is held. `left_out`
    are the streams of the document that cannot be stored; `problems` is what else is skipped or ignored. `recorded`:
    the history has a run of it. `document` is for the next synchronisation, also after a failure. `wait`: if the
    document differs from that of another replica, the seconds until it may take its place, None if it may not.
    """

    outcome: SyncRun.Outcome
    source: str
    seconds: float
    error: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    left_out: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    recorded: bool = False
    document: Document | None = field(default=None, repr=False)
    wait: float | None = None

    @property
    def differs(self) -> bool:
        """Whether another replica's document is in force."""
        return self.outcome is Outcome.DIFFERS

    @property
    def is_held(self) -> bool:
        """Whether it is awaiting approval."""
        return self.outcome is Outcome.HELD

    @property
    def has_failed(self) -> bool:
        """Whether the source could not be used."""
        return self.outcome is Outcome.FAILED

    @property
    def is_good(self) -> bool:
        """Whether the source was fetched and the database agrees with it."""
        return self.outcome not in {Outcome.FAILED, Outcome.HELD, Outcome.DIFFERS}


def synchronise(config: StreamConfigSource, known: Document | None = None, **options: Any) -> SyncResult:
    """Fetch the stream configuration and write what has changed, if anything; arguments as of `fetch_source`, `store`.

    It blocks: call it in a thread if there is an event loop. Errors of the source are in the result.

    Raises:
        django.db.DatabaseError: The database failed.
    """
    return store(config, fetch_source(config, known), **options)


def store(
    config: StreamConfigSource,
    fetched: Fetched,
    *,
    replica: Replica | None = None,
    force: bool = False,
    dry_run: bool = False,
    by: str = "",
) -> SyncResult:
    """Write what the fetched document changes, if anything. It blocks.

    Args:
        config: Says where the streams are defined.
        fetched: What came of asking the source.
        replica: This process among the replicas, if it is one of them.
        force: Apply also what would be held.
        dry_run: Write nothing.
        by: The user who asked for it.

    Raises:
        django.db.DatabaseError: The database failed.
    """
    attempt = _Attempt(config, fetched.source, fetched.document, fetched.error, replica, by, force)
    known, at, started = fetched.known, fetched.at, fetched.started
    _close_old_connections()
    try:
        ruling, recorded = _rule(attempt, dry_run=dry_run), False
        if not dry_run and (ruling.is_news or ruling.takes):
            ruling, recorded = _write_news(attempt, at, started)
    finally:
        _close_old_connections()
    seconds = time.monotonic() - started
    result = _result(ruling.judgement, attempt.source, seconds, recorded=recorded, document=attempt.document or known)
    result = replace(result, wait=ruling.wait)
    if not dry_run:
        _log(result)
    return result


def apply_held(run: int, config: StreamConfigSource, by: str) -> SyncResult:
    """Apply what the held run with this key would have changed, exactly as it was fetched then.

    Raises:
        NothingHeldError: It is no longer awaiting approval.
    """
    at, started = timezone.now(), time.monotonic()
    with transaction.atomic():
        Version.lock(Version.STREAMS)
        held = SyncRun.objects.filter(pk=run, pending__isnull=False).first()
        if held is None:
            raise NothingHeldError("No longer pending: it was already applied, or the source has changed.")
        rows, fetched = read_rows(), held.pending or {}
        after = compile_catalogue(layers_of(config, rows, fetched), 0)
        judgement = Judgement(Outcome.APPLIED, "", compare(config, rows, fetched, after), rows, fetched)
        _write(judgement, config, held.source, at)
        seconds = time.monotonic() - started
        _record(judgement, held.source, at, seconds, by)
    result = _result(judgement, held.source, seconds, recorded=True)
    _log(result)
    return result


def keep_lease(config: StreamConfigSource, document: Document, replica: Replica) -> None:
    """Renew the lease, or take it over, if this document, fetched before, is the stored one or is held.

    For a replica that fetches its source once. It blocks. Raises django.db.DatabaseError.
    """
    attempt = _Attempt(config, source_name(config), document, "", replica, "", force=False)
    _close_old_connections()
    try:
        if replica.is_due(stored_lease(), replica.now()):
            with transaction.atomic():
                Version.lock(Version.STREAMS)
                lease, now = stored_lease(), replica.now()
                outcome = attempt.judge().outcome if replica.is_due(lease, now) else None
                if outcome is Outcome.UNCHANGED or (outcome is Outcome.HELD and replica.holds(lease)):
                    replica.take(lease, attempt.source, now, agrees=outcome is Outcome.UNCHANGED, asked=False)
    finally:
        _close_old_connections()


class _Attempt(NamedTuple):
    """What one synchronisation has fetched; `error` says why there is no document."""

    config: StreamConfigSource
    source: str
    document: Document | None
    error: str
    replica: Replica | None
    by: str
    force: bool

    def judge(self) -> Judgement:
        """Return what is to be done, by what the database has now."""
        if self.document is None:
            return Judgement(Outcome.FAILED, self.error)
        return judge(self.config, self.source, self.document.described, self.force)


class _Ruling(NamedTuple):
    """What becomes of an attempt: its judgement, whether the history gets it, whether the replica takes the lease."""

    judgement: Judgement
    is_news: bool
    takes: bool = False
    lease: SourceLease | None = None
    wait: float | None = None


def _rule(attempt: _Attempt, *, dry_run: bool = False) -> _Ruling:
    """Judge, by what the database has now and by what other replicas hold; a person's word counts more than theirs."""
    judgement, replica = attempt.judge(), attempt.replica
    is_news = not dry_run and _is_news(judgement, attempt.source)
    if replica is None or dry_run:
        return _Ruling(judgement, is_news)
    lease, now, outcome = stored_lease(), replica.now(), judgement.outcome
    if outcome is Outcome.FAILED:
        return _Ruling(judgement, is_news and (bool(attempt.by) or replica.may_tell(lease, now)))
    if outcome is Outcome.UNCHANGED:
        replica.agrees()
        takes = replica.is_due(lease, now)
        return _Ruling(judgement, is_news and (takes or bool(attempt.by) or replica.may_tell(lease, now)), takes, lease)
    wait = 0.0 if attempt.by else replica.seconds_to_wait(lease, _fingerprint(attempt, judgement), now)
    if wait == 0.0:
        return _Ruling(judgement, is_news, is_news or replica.is_due(lease, now), lease, wait)
    if outcome is Outcome.HELD and not is_news:  # just what the holder's document is held for
        return _Ruling(judgement, is_news)
    precedence = (
        "another server started later, or was told by a person: give all servers the same document"
        if wait is None
        else f"this server started later: it stores its own document if it still differs after {STAYS_SECONDS:.0f} s"
    )
    stored = f", of {lease.source}," if lease is not None and lease.source != attempt.source else ""
    error = f"{attempt.source} differs from the stored configuration{stored} which stays in force ({precedence})"
    return _Ruling(judgement._replace(outcome=Outcome.DIFFERS, error=error), False, wait=wait)


def _fingerprint(attempt: _Attempt, judgement: Judgement) -> str:
    return canonical([attempt.source, judgement.fetched, sorted(in_file(attempt.config))])


def _write_news(attempt: _Attempt, at: datetime, started: float) -> tuple[_Ruling, bool]:
    """Write the changes and a run, unless another process was faster; return the ruling, and whether there is a run."""
    with transaction.atomic():
        Version.lock(Version.STREAMS)
        ruling = _rule(attempt)
        judgement, lease = ruling.judgement, ruling.lease
        if ruling.takes and attempt.replica is not None:
            agrees = judgement.outcome is Outcome.UNCHANGED
            attempt.replica.take(lease, attempt.source, attempt.replica.now(), agrees=agrees, asked=bool(attempt.by))
        if not ruling.is_news:
            return ruling, False
        seconds = time.monotonic() - started
        _write(judgement, attempt.config, attempt.source, at)
        _record(judgement, attempt.source, at, seconds, attempt.by)
    return ruling, True


def _result(
    judgement: Judgement, source: str, seconds: float, *, recorded: bool, document: Document | None = None
) -> SyncResult:
    changes = judgement.changes
    return SyncResult(
        judgement.outcome,
        source,
        seconds,
        judgement.error,
        added=changes.added,
        removed=changes.removed,
        changed=changes.changed,
        withdrawn=changes.withdrawn,
        left_out=judgement.left_out,
        problems=judgement.problems,
        recorded=recorded,
        document=document,
    )


def _close_old_connections() -> None:
    """Close dead connections: Django does so only for requests, so this thread would use one forever."""
    if not transaction.get_connection().in_atomic_block:
        close_old_connections()


def _is_news(judgement: Judgement, source: str) -> bool:
    """Return whether the judgement differs from the last run in the history."""
    outcome = judgement.outcome
    if outcome is Outcome.CHANGED:
        return True
    last = SyncRun.objects.defer("pending").first()
    if outcome is Outcome.UNCHANGED:
        known = [] if last is None else last.left_out
        return (last is not None and last.outcome in {Outcome.FAILED, Outcome.HELD}) or known != _listed(judgement)
    if last is None or (last.outcome, last.source, last.error) != (outcome, source, judgement.error):
        return True
    return outcome is Outcome.HELD and canonical(last.pending) != canonical(judgement.fetched)


def _listed(judgement: Judgement) -> list[list[str]]:
    """Return the skipped streams as a run stores them."""
    return [[name, reason] for name, reason in judgement.left_out[:MAX_LEFT_OUT]]


# Writing it.


def _write(judgement: Judgement, config: StreamConfigSource, source: str, at: datetime) -> None:
    """Make the rows what was fetched, and raise the version that the processes poll."""
    rows, changes, fetched = judgement.rows, judgement.changes, judgement.fetched
    if judgement.outcome not in {Outcome.CHANGED, Outcome.APPLIED} or not changes.described:
        return
    Version.raise_for(Version.STREAMS)
    ours = in_file(config)
    kept = {name for name in changes.removed if rows[name].edit is not None or name in ours}
    for names in _batches(list(kept)):
        ConfiguredStream.objects.filter(name__in=names).update(fetched=None, fetched_from="", fetched_at=at)
    for names in _batches([name for name in changes.removed if name not in kept]):
        ConfiguredStream.objects.filter(name__in=names).delete()
    new: list[ConfiguredStream] = []
    for name in (*changes.added, *changes.changed):
        row = rows.get(name) or ConfiguredStream(name=name)
        if name in fetched:
            row.fetched, row.fetched_from, row.fetched_at = fetched[name], source, at
        if row.pk is None:
            new.append(row)
        else:
            row.save(update_fields=["fetched", "fetched_from", "fetched_at"])
    ConfiguredStream.objects.bulk_create(new, batch_size=BATCH)


def _record(judgement: Judgement, source: str, at: datetime, seconds: float, by: str) -> None:
    outcome, changes = judgement.outcome, judgement.changes
    if outcome is not Outcome.FAILED:  # a held run stays pending only while the source fails
        SyncRun.objects.filter(pending__isnull=False).update(pending=None)
    SyncRun.objects.create(
        at=at,
        seconds=seconds,
        source=source,
        outcome=outcome,
        added=changes.added,
        removed=changes.removed,
        changed=changes.changed,
        left_out=_listed(judgement),
        error=judgement.error,
        pending=judgement.fetched if outcome is Outcome.HELD else None,
        by=by,
    )
    oldest = SyncRun.objects.values_list("pk", flat=True)[HISTORY_RUNS - 1 : HISTORY_RUNS].first()
    if oldest is not None:
        SyncRun.objects.filter(pk__lt=oldest, pending__isnull=True).delete()


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + BATCH] for start in range(0, len(names), BATCH))


def _log(result: SyncResult) -> None:
    """Log what was changed. Failures are logged by the caller, which knows how long they last."""
    names = listed(added=result.added, removed=result.removed, changed=result.changed, withdrawn=result.withdrawn)
    if result.recorded and result.outcome not in {Outcome.FAILED, Outcome.HELD}:
        logger.info("The stream configuration of %s is %s%s", result.source, result.outcome.value, names)
        for name, reason in result.left_out:
            logger.warning("Stream %s was skipped: %s", name, reason)
