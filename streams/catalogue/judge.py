"""What a synchronisation would change, and whether it may: decided by what clients can read before and after.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from streams.catalogue.database import StreamConfigSource, layers_of, read_rows
from streams.catalogue.document import Described, NotStorableError, check_name
from streams.catalogue.json_text import canonical
from streams.core.catalogue import Catalogue, InvalidStreamError, Layers, Problem, compile_catalogue, stream_of
from streams.models import ConfiguredStream, SyncRun

HOLD_SHARE = 0.2
HOLD_COUNT = 5
"""A refresh that would withdraw more than this share of the exposed streams and at least this number, or all of them,
is held until somebody applies it."""
NAMED_FAULTS = 3
"""Maximum number of streams that the message names if none can be served."""

Outcome = SyncRun.Outcome


class Changes(NamedTuple):
    """As in SyncResult; `exposed` is the number of streams that clients can read before."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    exposed: int = 0

    @property
    def described(self) -> tuple[str, ...]:
        """All names whose definition changes."""
        return self.added + self.removed + self.changed


class Judgement(NamedTuple):
    """What a synchronisation is to do. `left_out` and `problems` are as in SyncResult."""

    outcome: SyncRun.Outcome
    error: str = ""
    changes: Changes = Changes()
    rows: Mapping[str, ConfiguredStream] = MappingProxyType({})
    fetched: Mapping[str, Any] = MappingProxyType({})
    left_out: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


def judge(config: StreamConfigSource, source: str, described: Described, force: bool) -> Judgement:
    """Return what to do with the streams that `source` defines; `force` applies also what would be held."""
    rows, fetched = read_rows(), described.streams
    layers = layers_of(config, rows, fetched)
    after = compile_catalogue(layers, 0)
    changes = compare(config, rows, fetched, after)
    judgement = Judgement(Outcome.CHANGED, "", changes, rows, fetched, described.left_out, after.mistakes)

    def failed(error: str) -> Judgement:
        return judgement._replace(outcome=Outcome.FAILED, error=error, changes=Changes(), fetched={})

    if config.stream_config_uri is None and not rows and not changes.described:
        return failed("stream_config_uri is not set, and nothing else defines a stream")
    if config.stream_config_uri is not None and (faults := _all_invalid(described, layers)):
        named = "; ".join(f"{name}: {reason}" for name, reason in faults[:NAMED_FAULTS])
        more = f"; and {len(faults) - NAMED_FAULTS} more" if len(faults) > NAMED_FAULTS else ""
        return failed(f"{source}: none of its {len(faults)} streams can be served ({named}{more})")
    if not changes.described:
        return judgement._replace(outcome=Outcome.UNCHANGED)
    is_first = all(row.fetched is None for row in rows.values())
    if not is_first and not force and _is_too_much(changes):
        error = (
            f"{source}: it would withdraw {len(changes.withdrawn)} of {changes.exposed} streams; "
            "apply it in the admin, or with sync_streams --force"
        )
        return judgement._replace(outcome=Outcome.HELD, error=error)
    return judgement


def _is_too_much(changes: Changes) -> bool:
    """Return whether it withdraws more streams than it may without approval. New streams do not compensate."""
    lost = len(changes.withdrawn)
    if lost and lost == changes.exposed:
        return True
    return lost >= HOLD_COUNT and lost > HOLD_SHARE * changes.exposed


def compare(
    config: StreamConfigSource,
    rows: Mapping[str, ConfiguredStream],
    fetched: Mapping[str, Any],
    after: Catalogue,
) -> Changes:
    """Return what would change in `rows` if `fetched` took effect, and `after` with it."""
    ours = in_file(config)
    has = {name: row for name, row in rows.items() if row.fetched is not None}
    new_here = [name for name in ours if name not in rows and name not in fetched]
    gone = [
        name
        for name, row in rows.items()
        if row.fetched is None and row.edit is None and name not in ours and name not in fetched
    ]
    changes = Changes(
        added=(*(name for name in fetched if name not in has), *new_here),
        removed=(*(name for name in has if name not in fetched), *gone),
        changed=tuple(
            name for name in fetched if name in has and canonical(has[name].fetched) != canonical(fetched[name])
        ),
    )
    if not changes.described:
        return changes
    before = compile_catalogue(layers_of(config, rows), 0).streams
    withdrawn = tuple(name for name in before if name not in after.streams)
    return changes._replace(withdrawn=withdrawn, exposed=len(before))


def in_file(config: StreamConfigSource) -> dict[str, None]:
    """Return the streams that the configuration file defines, fetched or not: admins see them too."""
    names: dict[str, None] = {}
    for name in layers_of(config, {}).in_file():
        with suppress(NotStorableError):
            names[check_name(name)] = None
    return names


def _all_invalid(described: Described, layers: Layers) -> list[Problem]:
    """Return why no stream of the source can be served; empty if one can, with the admins' edits or without."""
    faults = list(described.left_out)
    for name in described.streams:
        try:
            stream_of(name, layers._replace(edits={}))
        except InvalidStreamError as error:
            faults.append(Problem(name, str(error)))
        else:
            return []
    if any(_is_valid(name, layers) for name in described.streams):
        return []
    return faults


def _is_valid(name: str, layers: Layers) -> bool:
    try:
        stream_of(name, layers)
    except InvalidStreamError:
        return False
    return True
