"""Which clients a new catalogue disconnects: what a process does, and what the admin announces before it is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streams.core.catalogue import Catalogue, Stream


class AffectedStreams(NamedTuple):
    """Names of the streams whose clients are disconnected."""

    withdrawn: tuple[str, ...] = ()
    """No longer exposed: their clients get an error that says so."""
    moved: tuple[str, ...] = ()
    """Exposed with other topics: their clients reconnect."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.withdrawn + self.moved


def affected_streams(before: Iterable[Stream], after: Catalogue) -> AffectedStreams:
    """Return which of the streams in `before` lose their clients when `after` takes effect."""
    streams = list(before)
    withdrawn = tuple(stream.name for stream in streams if stream.name not in after.streams)
    moved = tuple(
        stream.name
        for stream in streams
        if stream.name in after.streams and _topics(stream) != _topics(after.streams[stream.name])
    )
    return AffectedStreams(withdrawn, moved)


def _topics(stream: Stream) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return stream.topics, stream.topics_allowed
