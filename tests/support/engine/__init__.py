"""The engine on a MemorySource: what its tests share."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec

from redaction.redactor import Redactor
from streams.core.events import Fields
from streams.core.positions import Scope, TopicPartition
from streams.engine.encoder import Encoder
from streams.engine.metrics import Metrics
from streams.engine.replay.history import History
from streams.engine.source import RecordSource
from streams.engine.tail.feed import Selection
from streams.engine.tail.hub import Hub
from streams.engine.tuning import Tuning

PATIENCE_SECONDS = 20.0
"""Maximum seconds that a test waits for what must come; only a failing one waits that long."""


class Stamp:
    """A redactor that shows in each event which list it was made with: its member `list`."""

    def __init__(self, version: int) -> None:
        self.version = version

    def is_unlisted(self, domain: msgspec.Raw, server_name: msgspec.Raw) -> bool:
        return False

    def redact(self, event: Fields, meta: Fields | None = None) -> bool:
        event["list"] = msgspec.Raw(b"%d" % self.version)
        return True


class Engine:
    """A hub and a history, wired up as one process has them, on a source that others may share."""

    TUNED: ClassVar[dict[str, float]] = {"housekeeping_seconds": 0.2}
    """Bounds that are other than the engine's own, for all engines of a class."""

    def __init__(self, source: RecordSource, *, cache_bytes: int = 1 << 20, slots: int = 2, **tuned: Any) -> None:
        bounds: dict[str, Any] = {"history_cache_bytes": cache_bytes, "history_readers": slots, **self.TUNED, **tuned}
        self.tuning = Tuning(**bounds)
        self.source = source
        self.metrics = Metrics()
        self.encoder = Encoder(Redactor({}), self.metrics)
        self.hub = Hub(source, self.encoder, self.metrics, self.tuning)
        self.history = History(source, self.encoder, self.metrics, self.tuning)

    def redact_with(self, redactor: Redactor | Stamp) -> None:
        """Another redaction list, as `eventstreams_site.process` puts it in force."""
        self.encoder.redactor = redactor
        self.hub.forget()
        self.history.forget()

    def count(self, name: str) -> float:
        """A metric's value; 0 where it has none yet."""
        return self.metrics.registry.get_sample_value(name) or 0.0

    @asynccontextmanager
    async def running(self, *topics: str) -> AsyncIterator[Engine]:
        self.hub.set_topics(topics)
        self.hub.start()
        try:
            await eventually(lambda: self.hub.available)
            yield self
        finally:
            await self.hub.close()


def whole(*topics: str) -> Selection:
    """The selection of a client that asks for these topics without a filter."""
    return Selection(frozenset(topics), frozenset(), Scope.STREAMS)


def numbered(number: int, padding: int = 0) -> bytes:
    """The value of a record that is an event."""
    return b'{"n":%d,"pad":"%s"}' % (number, b"x" * padding)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their end. One that has failed fails the test, which may not have waited for it."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


class Received:
    """What one client has been sent, read as strictly as the contract allows."""

    _EVENT = re.compile(rb"event: (message|checkpoint|end)\nid: (\[.*\])\ndata: (\{.*\})\n\n")
    _COMMENT = re.compile(rb":(?:gap (\[.*\]))?\n")

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, list[int]] = {}
        self.events: list[tuple[TopicPartition, int]] = []
        self.ids: list[str] = []
        self.gaps: list[dict[str, Any]] = []
        self.keepalives = 0
        self.lists: list[int | None] = []
        """Of each event, the version of the list that it was made with, where a Stamp said so."""
        self.checkpoints: list[str] = []
        """Their ids."""
        self.end: tuple[str, dict[str, Any]] | None = None
        """The id and the data of the event that ends the stream."""

    def take(self, sse: bytes) -> None:
        at = 0
        while at < len(sse):
            if match := self._EVENT.match(sse, at):
                event, identifier = json.loads(match[3]), match[2].decode("ascii")
                assert self.end is None
                if match[1] == b"end":
                    self.end = identifier, event
                elif event.get("meta", {}).get("stream") == "eventstreams.checkpoint":
                    assert event["meta"]["domain"] == "canary"
                    in_json = event.get("last_event_id")  # where there are no ids
                    self.checkpoints.append(identifier if in_json is None else json.dumps(in_json))
                else:
                    self._take_event(event, identifier)
            elif match := self._COMMENT.match(sse, at):
                if match[1]:
                    self.gaps += json.loads(match[1])
                else:
                    self.keepalives += 1
            else:
                raise AssertionError(f"neither an event nor a comment: {sse[at : at + 200]!r}")
            at = match.end()

    def _take_event(self, event: Any, identifier: str) -> None:
        meta = event["meta"]
        self.lists.append(event.get("list"))
        tp = TopicPartition(meta["topic"], meta["partition"])
        self.offsets.setdefault(tp, []).append(meta["offset"])
        self.events.append((tp, meta["offset"]))
        self.ids.append(identifier)
