"""The streams as the database has them, read: with the configuration file's part they are the catalogue.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from streams.core.catalogue import Catalogue, Layers, compile_catalogue
from streams.models import ConfiguredStream, Version

logger = logging.getLogger(__name__)

NAMED = 10
"""So many names stand in one line of the log."""


class StreamConfigSource(Protocol):
    """The part of the service's configuration that says where the streams are described."""

    @property
    def stream_config_uri(self) -> str | None: ...
    @property
    def stream_config_uri_options(self) -> Mapping[str, Any]: ...
    @property
    def stream_config_object_path(self) -> str | None: ...
    @property
    def stream_config_defaults(self) -> Mapping[str, object]: ...
    @property
    def stream_config_overrides(self) -> Mapping[str, object]: ...
    @property
    def allowed_streams(self) -> Collection[str] | None: ...
    @property
    def admin_topics(self) -> Collection[str] | None: ...


def read_catalogue(config: StreamConfigSource, known: Catalogue | None = None) -> Catalogue | None:
    """The catalogue as the database has it now; None where `known` still is that, or where there is none yet because
    nothing was ever fetched from `stream_config_uri`.

    It may have no stream: then admins have denied all of them, or allowed_streams admits none. What is skipped or
    ignored is logged when it is new.
    """
    version = Version.of(Version.STREAMS)
    if known is not None and known.version == version:
        return None
    rows = read_rows()
    if config.stream_config_uri is not None and all(row.fetched is None for row in rows.values()):
        return None
    catalogue = compile_catalogue(layers_of(config, rows), version)
    for name, reason in catalogue.skipped:
        if known is None or (name, reason) not in known.skipped:
            logger.warning("Stream %s is skipped: %s", name, reason)
    for name, reason in catalogue.problems:
        if known is None or (name, reason) not in known.problems:
            logger.warning("Stream %s: %s", name, reason)
    before = known.streams if known is not None else {}
    after = catalogue.streams
    logger.info(
        "%d streams are exposed, %d skipped, of %d%s",
        len(after),
        len(catalogue.skipped),
        len(rows),
        ""
        if known is None
        else listed(
            added=[name for name in after if name not in before],
            withdrawn=[name for name in before if name not in after],
            changed=[name for name in after if name in before and after[name] != before[name]],
        ),
    )
    return catalogue


def read_layers(config: StreamConfigSource) -> Layers:
    """All that is said about streams now: what the catalogue is compiled of."""
    return layers_of(config, read_rows())


def read_rows() -> dict[str, ConfiguredStream]:
    """All streams by name, in the order of the catalogue."""
    return {row.name: row for row in ConfiguredStream.objects.order_by("pk")}


def layers_of(
    config: StreamConfigSource, rows: Mapping[str, ConfiguredStream], fetched: Mapping[str, Any] | None = None
) -> Layers:
    """What the catalogue is compiled of; with `fetched` in place of what was fetched into the rows, if it is given."""
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
    """For a line of the log: `: added a, b; removed c and 7 more`, or nothing."""
    parts = []
    for what, found in names.items():
        all_names = list(found)
        if all_names:
            more = f" and {len(all_names) - NAMED} more" if len(all_names) > NAMED else ""
            parts.append(f"{what} {', '.join(all_names[:NAMED])}{more}")
    return ": " + "; ".join(parts) if parts else ""
