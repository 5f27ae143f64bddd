"""The streams' way from where they are described into the database, and from there into the catalogue of a process.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db import close_old_connections, transaction
from django.utils import timezone

from streams.catalogue.database import StreamConfigSource, layers_of, listed, read_rows
from streams.catalogue.document import Described, DocumentError, described_streams
from streams.catalogue.fetch import NOT_MODIFIED, FetchError, Validators, fetch, shown
from streams.catalogue.judge import Judgement, canonical, compare, in_file, judge
from streams.core.catalogue import Problem, compile_catalogue
from streams.models import ConfiguredStream, SyncRun, Version

logger = logging.getLogger(__name__)

HISTORY_RUNS = 200
MAX_LEFT_OUT = 100
"""Maximum number of streams that are left out and that a row of the history names."""
BATCH = 500
"""Rows of one statement (SQLite bounds its parameters)."""

Outcome = SyncRun.Outcome


class NothingHeldError(Exception):
    """The run does not wait for being applied, or no longer; the message says so."""


class Document(NamedTuple):
    """What was fetched last, to be given to the next synchronisation: its server is then only asked for changes."""

    uri: str
    described: Described
    validators: Validators | None


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a synchronisation did, or would do.

    `added`, `removed` and `changed` are the names of streams as the source (or the configuration file) describes them;
    `withdrawn` are those that clients can read before and not after. `error` says why it failed or is held. `left_out`
    is what of the document cannot be kept; `problems` is what else of the streams is skipped or ignored. `recorded`:
    there is a SyncRun of it. `document` is for the next synchronisation, also after a failure.
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

    @property
    def is_held(self) -> bool:
        """Whether it waits until somebody applies it."""
        return self.outcome is Outcome.HELD

    @property
    def is_good(self) -> bool:
        """Whether the source was had and the database says what it says."""
        return self.outcome not in {Outcome.FAILED, Outcome.HELD}


def synchronise(
    config: StreamConfigSource,
    known: Document | None = None,
    *,
    force: bool = False,
    dry_run: bool = False,
    by: str = "",
) -> SyncResult:
    """Fetch the description of the streams and write what has changed; where nothing has, nothing is written.

    `known` is the `document` of the last result in this process. `force` applies also what would be held. `dry_run`
    only looks. `by` is the user who asked for it. What is wrong with the source is in the result; what is wrong with
    the database is raised (django.db.DatabaseError). It blocks: call it in a thread where there is an event loop.
    """
    at, started = timezone.now(), time.monotonic()
    uri = config.stream_config_uri
    source = "stream_config_overrides" if uri is None else shown(uri)
    document: Document | None = None
    error = ""
    try:
        document = _fetch(config, known)
    except FetchError as failure:
        error = str(failure)
    except DocumentError as failure:
        error = f"{source}: {failure}"
    described = document.described if document is not None else None

    def judged() -> Judgement:
        if described is None:
            return Judgement(Outcome.FAILED, error)
        return judge(config, source, described, force)

    _close_old_connections()
    try:
        judgement = judged()
        news = _is_news(judgement, source)
        if news and not dry_run:
            with transaction.atomic():
                Version.lock(Version.STREAMS)
                judgement = judged()  # another process may have been faster
                news = _is_news(judgement, source)
                if news:
                    seconds = time.monotonic() - started
                    _write(judgement, config, source, at)
                    _record(judgement, source, at, seconds, by)
    finally:
        _close_old_connections()
    result = SyncResult(
        judgement.outcome,
        source,
        time.monotonic() - started,
        judgement.error,
        *judgement.changes[:4],
        judgement.left_out,
        judgement.problems,
        news and not dry_run,
        document or known,
    )
    if not dry_run:
        _say(result)
    return result


def apply_held(run: int, config: StreamConfigSource, by: str) -> SyncResult:
    """Apply what the held run with this key would have changed, exactly as it was fetched then.

    Raises NothingHeldError.
    """
    at, started = timezone.now(), time.monotonic()
    with transaction.atomic():
        Version.lock(Version.STREAMS)
        held = SyncRun.objects.filter(pk=run, pending__isnull=False).first()
        if held is None:
            raise NothingHeldError("It no longer waits: it was applied, or the source says something else by now.")
        rows, fetched = read_rows(), held.pending or {}
        after = compile_catalogue(layers_of(config, rows, fetched), 0)
        judgement = Judgement(Outcome.APPLIED, "", compare(config, rows, fetched, after), rows, fetched)
        _write(judgement, config, held.source, at)
        seconds = time.monotonic() - started
        _record(judgement, held.source, at, seconds, by)
    result = SyncResult(Outcome.APPLIED, held.source, seconds, "", *judgement.changes[:4], recorded=True)
    _say(result)
    return result


def _fetch(config: StreamConfigSource, known: Document | None) -> Document:
    uri = config.stream_config_uri
    if uri is None:
        return Document("", Described({}, ()), None)
    if known is not None and known.uri != uri:
        known = None
    answer = fetch(uri, config.stream_config_uri_options, known.validators if known is not None else None)
    if answer is NOT_MODIFIED:
        assert known is not None  # it was asked for by its validators
        return known
    return Document(uri, described_streams(answer.text, config.stream_config_object_path), answer.validators)


def _close_old_connections() -> None:
    """A thread that makes no requests has nobody to do it: after an outage it would try the dead one for ever."""
    if not transaction.get_connection().in_atomic_block:
        close_old_connections()


def _is_news(judgement: Judgement, source: str) -> bool:
    """Whether the history says something else by now."""
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
    """What is left out, as a row has it."""
    return [[name, reason] for name, reason in judgement.left_out[:MAX_LEFT_OUT]]


# Writing it.


def _write(judgement: Judgement, config: StreamConfigSource, source: str, at: datetime) -> None:
    """Bring the rows to what was fetched, all under the version that the processes poll."""
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
    if outcome is not Outcome.FAILED:  # what is held goes on waiting while the source fails, and no longer
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


def _say(result: SyncResult) -> None:
    names = listed(added=result.added, removed=result.removed, changed=result.changed, withdrawn=result.withdrawn)
    if result.outcome is Outcome.FAILED:
        logger.error("The stream configuration stays as it was: %s", result.error)
    elif result.outcome is Outcome.HELD:
        logger.warning("The stream configuration stays as it was: %s%s", result.error, names)
    elif result.recorded:
        logger.info("The stream configuration of %s is %s%s", result.source, result.outcome.value, names)
        for name, reason in result.left_out:
            logger.warning("Stream %s was skipped: %s", name, reason)
