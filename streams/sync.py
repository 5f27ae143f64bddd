"""The streams' way from where they are described into the database, and from there into the catalogue of a process.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db import close_old_connections, transaction
from django.utils import timezone

from streams.core.catalogue import Layers, Problem, UnfitError, compile_catalogue, make_stream
from streams.document import Described, DocumentError, UnplainError, check_name, described_streams
from streams.fetch import NOT_MODIFIED, FetchError, Validators, fetch, shown
from streams.models import ConfiguredStream, SyncRun, Version
from streams.stored import StreamConfigSource, layers_of, listed, read_rows

logger = logging.getLogger(__name__)

HOLD_SHARE = 0.2
"""A refresh that would withdraw more than this share of the exposed streams waits for somebody to apply it."""
HISTORY_RUNS = 200
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
    is what of the document cannot be kept. `recorded`: there is a SyncRun of it. `document` is for the next
    synchronisation, also after a failure.
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
    recorded: bool = False
    document: Document | None = field(default=None, repr=False)

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

    def judge() -> _Judgement:
        if described is None:
            return _Judgement(Outcome.FAILED, error)
        return _judge(config, source, described, force)

    _close_old_connections()
    try:
        judgement = judge()
        news = _is_news(judgement, source)
        if news and not dry_run:
            with transaction.atomic():
                Version.lock(Version.STREAMS)
                judgement = judge()  # another process may have been faster
                news = _is_news(judgement, source)
                if news:
                    seconds = time.monotonic() - started
                    _write(judgement, config, source, at)
                    _record(judgement, source, at, seconds, by)
    finally:
        _close_old_connections()
    left_out = described.left_out if described is not None else ()
    result = SyncResult(
        judgement.outcome,
        source,
        time.monotonic() - started,
        judgement.error,
        *judgement.changes[:4],
        left_out,
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
        judgement = _Judgement(Outcome.APPLIED, "", _compare(config, rows, fetched), rows, fetched)
        _write(judgement, config, held.source, at)
        seconds = time.monotonic() - started
        _record(judgement, held.source, at, seconds, by)
    result = SyncResult(Outcome.APPLIED, held.source, seconds, "", *judgement.changes[:4], recorded=True)
    _say(result)
    return result


# What there is, and what would become of it.


class _Changes(NamedTuple):
    """As in SyncResult; `exposed` is how many streams clients can read before."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    exposed: int = 0

    @property
    def described(self) -> tuple[str, ...]:
        return self.added + self.removed + self.changed


class _Judgement(NamedTuple):
    outcome: SyncRun.Outcome
    error: str = ""
    changes: _Changes = _Changes()
    rows: Mapping[str, ConfiguredStream] = MappingProxyType({})
    fetched: Mapping[str, Any] = MappingProxyType({})


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


def _judge(config: StreamConfigSource, source: str, described: Described, force: bool) -> _Judgement:
    rows, fetched = read_rows(), described.streams
    changes = _compare(config, rows, fetched)
    if config.stream_config_uri is None and not rows and not changes.described:
        return _Judgement(Outcome.FAILED, "stream_config_uri is not set, and nothing else describes a stream")
    if not changes.described:
        return _Judgement(Outcome.UNCHANGED)
    layers = layers_of(config, rows, fetched)
    if config.stream_config_uri is not None and not any(_is_fit(name, layers) for name in fetched):
        total = len(fetched) + len(described.left_out)
        return _Judgement(Outcome.FAILED, f"{source}: none of its {total} streams can be served")
    is_first = all(row.fetched is None for row in rows.values())
    if not is_first and not force and len(changes.withdrawn) > HOLD_SHARE * changes.exposed:
        error = (
            f"{source}: it would withdraw {len(changes.withdrawn)} of {changes.exposed} streams; "
            "apply it in the admin, or with sync_streams --force"
        )
        return _Judgement(Outcome.HELD, error, changes, rows, fetched)
    return _Judgement(Outcome.CHANGED, "", changes, rows, fetched)


def _compare(config: StreamConfigSource, rows: Mapping[str, ConfiguredStream], fetched: Mapping[str, Any]) -> _Changes:
    in_file = _in_file(config)
    has = {name: row for name, row in rows.items() if row.fetched is not None}
    new_here = [name for name in in_file if name not in rows and name not in fetched]
    gone = [
        name
        for name, row in rows.items()
        if row.fetched is None and row.edit is None and name not in in_file and name not in fetched
    ]
    changes = _Changes(
        added=(*(name for name in fetched if name not in has), *new_here),
        removed=(*(name for name in has if name not in fetched), *gone),
        changed=tuple(name for name in fetched if name in has and _json(has[name].fetched) != _json(fetched[name])),
    )
    if not changes.described:
        return changes
    before = compile_catalogue(layers_of(config, rows), 0).streams
    after = compile_catalogue(layers_of(config, rows, fetched), 0).streams
    return changes._replace(withdrawn=tuple(name for name in before if name not in after), exposed=len(before))


def _in_file(config: StreamConfigSource) -> dict[str, None]:
    """The streams that the file's overrides make, whether they are fetched or not: admins see them too."""
    names: dict[str, None] = {}
    for name in config.stream_config_overrides:
        with suppress(UnplainError):
            names[check_name(name)] = None
    return names


def _is_fit(name: str, layers: Layers) -> bool:
    try:
        make_stream(name, layers.of(name))
    except UnfitError:
        return False
    return True


def _json(value: object) -> str:
    """What tells whether two values are the same: unlike Python, JSON knows `true` from 1."""
    return json.dumps(value, sort_keys=True)


def _close_old_connections() -> None:
    """A thread that makes no requests has nobody to do it: after an outage it would try the dead one for ever."""
    if not transaction.get_connection().in_atomic_block:
        close_old_connections()


def _is_news(judgement: _Judgement, source: str) -> bool:
    """Whether the history says something else by now."""
    outcome = judgement.outcome
    if outcome is Outcome.CHANGED:
        return True
    last = SyncRun.objects.defer("pending").first()
    if outcome is Outcome.UNCHANGED:
        return last is not None and last.outcome in {Outcome.FAILED, Outcome.HELD}
    if last is None or (last.outcome, last.source, last.error) != (outcome, source, judgement.error):
        return True
    return outcome is Outcome.HELD and _json(last.pending) != _json(judgement.fetched)


# Writing it.


def _write(judgement: _Judgement, config: StreamConfigSource, source: str, at: datetime) -> None:
    """Bring the rows to what was fetched, all under the version that the processes poll."""
    rows, changes, fetched = judgement.rows, judgement.changes, judgement.fetched
    if judgement.outcome not in {Outcome.CHANGED, Outcome.APPLIED} or not changes.described:
        return
    Version.raise_for(Version.STREAMS)
    in_file = _in_file(config)
    kept = {name for name in changes.removed if rows[name].edit is not None or name in in_file}
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


def _record(judgement: _Judgement, source: str, at: datetime, seconds: float, by: str) -> None:
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
            logger.warning("Stream %s is left out: %s", name, reason)
