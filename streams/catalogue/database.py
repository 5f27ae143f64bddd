"""Reads the streams from the database and makes them, with the configuration file, a catalogue.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from streams.core.catalogue import Catalogue, Layers, Stream, compile_catalogue
from streams.models import ConfiguredStream, Version

logger = logging.getLogger(__name__)

NAMED = 10
"""Maximum number of names in one line of the log."""


class StreamConfigSource(Protocol):
    """The part of the service's configuration that defines streams."""

    @property
    def stream_config_uri(self) -> str | None:
        """Path or URL of the document that defines the streams."""

    @property
    def stream_config_uri_options(self) -> Mapping[str, Any]:
        """How to fetch it: `headers`."""

    @property
    def stream_config_object_path(self) -> str | None:
        """The keys that lead to the streams in the document, joined by dots."""

    @property
    def stream_config_defaults(self) -> Mapping[str, object]:
        """Settings that fill what a stream lacks."""

    @property
    def stream_config_overrides(self) -> Mapping[str, object]:
        """Settings that replace what was fetched."""

    @property
    def allowed_streams(self) -> Collection[str] | None:
        """The only streams that are exposed; None: all."""

    @property
    def admin_topics(self) -> Collection[str] | None:
        """Patterns of the topics that admins may give a stream; None: those of other streams."""


def read_catalogue(config: StreamConfigSource, known: Catalogue | None = None) -> Catalogue | None:
    """Return the catalogue as the database has it now, and log what is new in it.

    None if `known` is up to date, or if nothing was ever fetched from `stream_config_uri`. A catalogue may have no
    stream: admins have denied all of them, or allowed_streams allows none.
    """
    version = Version.of(Version.STREAMS)
    if known is not None and known.version == version:
        return None
    rows = read_rows()
    if config.stream_config_uri is not None and all(row.fetched is None for row in rows.values()):
        return None
    catalogue = compile_catalogue(layers_of(config, rows), version)
    _log_news(catalogue, known, len(rows))
    return catalogue


def _log_news(catalogue: Catalogue, known: Catalogue | None, rows: int) -> None:
    for name, reason in catalogue.skipped:
        if known is None or (name, reason) not in known.skipped:
            logger.warning("Stream %s is skipped: %s", name, reason)
    for name, reason in catalogue.problems:
        if known is None or (name, reason) not in known.problems:
            logger.warning("Stream %s: %s", name, reason)
    changes = "" if known is None else _changes(known.streams, catalogue.streams)
    logger.info(
        "%d streams are exposed, %d skipped, of %d%s", len(catalogue.streams), len(catalogue.skipped), rows, changes
    )


def _changes(before: Mapping[str, Stream], after: Mapping[str, Stream]) -> str:
    return listed(
        added=[name for name in after if name not in before],
        withdrawn=[name for name in before if name not in after],
        changed=[name for name in after if name in before and after[name] != before[name]],
    )


def read_layers(config: StreamConfigSource) -> Layers:
    """Return all settings of streams, of which the catalogue is compiled."""
    return layers_of(config, read_rows())


def read_rows() -> dict[str, ConfiguredStream]:
    """Return all streams by name, in the order of the catalogue."""
    return {row.name: row for row in ConfiguredStream.objects.order_by("pk")}


def layers_of(
    config: StreamConfigSource, rows: Mapping[str, ConfiguredStream], fetched: Mapping[str, Any] | None = None
) -> Layers:
    """Return all settings of streams; if `fetched` is given, in place of the fetched settings in the rows."""
    if fetched is None:
        fetched = {name: row.fetched for name, row in rows.items() if row.fetched is not None}
    return Layers(
        fetched,
        config.stream_config_defaults,
        config.stream_config_overrides,
        {name: edit for name, row in rows.items() if (edit := row.edit) is not None},
        config.allowed_streams,
        config.admin_topics,
    )


def listed(**names: Iterable[str]) -> str:
    """Return names for a line of the log: `: added a, b; removed c and 7 more`, or ""."""
    parts = []
    for what, found in names.items():
        all_names = list(found)
        if all_names:
            more = f" and {len(all_names) - NAMED} more" if len(all_names) > NAMED else ""
            parts.append(f"{what} {', '.join(all_names[:NAMED])}{more}")
    return ": " + "; ".join(parts) if parts else ""
