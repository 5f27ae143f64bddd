"""The loop of the mirror: find where it stands, read on from there, write what is new, and say how it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka.errors import InvalidTimestampError, KafkaError, MessageSizeTooLargeError, ProducerFenced

from streams.core.sse_parser import Comment, Item, Message, Retry
from streams.mirror.event import read_event
from streams.mirror.own_kafka import MAX_EVENT_BYTES, OwnKafka
from streams.mirror.positions import Positions, Verdict
from streams.mirror.progress import REPORT_SECONDS, Counts, Progress
from streams.mirror.upstream import Pauses, Refused, Unavailable, Upstream, UpstreamError


class Mirror:
    """Mirrors `upstream` into the Kafka of `client`; `report` is given lines for people."""

    def __init__(
        self,
        upstream: Upstream,
        client: Mapping[str, Any],
        *,
        since: str = "",
        keep_canaries: bool = True,
        pauses: Pauses | None = None,
        report: Callable[[str], object],
    ) -> None:
        """`since` counts only where nothing has been written yet."""
        self.counts = Counts()
        self._upstream = upstream
        self._client = client
        self._since = since
        self._keep_canaries = keep_canaries
        self._report = report
        self._pauses = pauses or Pauses()
        self._progress = Progress(self.counts, time.monotonic())

    async def run(self) -> None:
        """Mirror until cancelled. Raises UpstreamError."""
        while True:
            kafka = OwnKafka(self._client, self._upstream.names, self._committed)
            try:
                async with kafka:
                    positions = await kafka.positions()
                    if positions.resume_since:
                        self._report("Other streams were mirrored before: reading again what they have in common.")
                    elif positions.resume_id:
                        self._report("Resuming after what has been written.")
                    else:
                        self._report(f"Nothing has been written yet: starting at {self._since or 'the live end'}.")
                    telling = asyncio.create_task(self._tell(kafka))
                    try:
                        await self._follow(kafka, positions)
                    finally:
                        telling.cancel()
            except ProducerFenced:
                if not kafka.has_timed_out:
                    raise UpstreamError(
                        "another mirror of the same streams has begun to write to this Kafka: run one of them"
                    ) from None
                await self._wait("Kafka has ended the transaction, since nothing came for a minute", None)
            except KafkaError as error:
                await self._wait(f"Kafka at {self._client['bootstrap_servers']}: {_shown(error)}", None)

    async def _follow(self, kafka: OwnKafka, positions: Positions) -> None:
        """Read connection after connection, all from one position, while Kafka takes what is written."""
        while True:
            why, seconds = "the stream ended", None
            identifier, since = positions.resume_id, positions.resume_since or self._since
            # What comes before the first event has an id must not be lost either if the connection breaks there.
            self._since = self._since or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            try:
                async for items in self._upstream.read(identifier, since):
                    for item in items:
                        why = await self._take(item, kafka, positions) or why
            except Refused as error:
                if not identifier:
                    raise
                positions.distrust_id()
                why = f"{error}. Asking by time instead of by an id; what was written is dropped when it comes again"
            except Unavailable as error:
                why, seconds = str(error), error.seconds
            await kafka.flush()
            self.counts.cuts += 1
            await self._wait(why, seconds)

    async def _take(self, item: Item, kafka: OwnKafka, positions: Positions) -> str:
        """Take one thing that the service said; returns why it is about to end the stream, if it says so."""
        if isinstance(item, Retry):
            self._pauses.asked(item.ms)
        elif isinstance(item, Comment):
            if item.text.startswith(b"gap "):
                self._gap(item.text.removeprefix(b"gap ").decode("utf-8", "replace"))
        elif item.kind == "error":
            return f"the service said {item.data[:400].decode('utf-8', 'replace')}"
        elif item.kind == "message":
            await self._write(item, kafka, positions)
        return ""

    async def _write(self, message: Message, kafka: OwnKafka, positions: Positions) -> None:
        try:
            event = read_event(message.data, message.id)
            if len(message.data) + 3 * len(message.id) > MAX_EVENT_BYTES:
                raise ValueError(f"an event has {len(message.data):,} bytes, of which Kafka is to take no more")  # noqa: TRY301
        except ValueError as error:
            self.counts.unreadable += 1
            if self.counts.unreadable == 1:
                self._report(f"Left out, and counted from now on: {error}.")
            return
        self._pauses.succeeded()
        positions.saw([message.id])
        verdict = positions.judge(event, message.id)
        where = f"{event.topic} partition {event.partition}"
        if verdict is Verdict.REPEATED:
            self.counts.repeated += 1
            return
        if verdict is Verdict.AFTER_HOLE:
            self.counts.holes += 1
        elif verdict is Verdict.RESTARTED:
            self._report(f"The log of {where} began again in the source, with offset {event.offset}.")
        self._progress.newest_ms = max(self._progress.newest_ms, event.timestamp)
        if event.is_canary and not self._keep_canaries:
            self.counts.canaries += 1
            return
        await kafka.write(event, message.id, positions.newest(event))

    def _gap(self, said: str) -> None:
        self.counts.gaps += 1
        self._report(f"A gap: the source no longer has all that was asked for: {said[:1000]}")

    def _committed(self, count: int) -> None:
        self.counts.written += count

    async def _tell(self, kafka: OwnKafka) -> None:
        """Say how it goes, and also that Kafka takes nothing: then nothing else is heard."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if (waited := kafka.waiting_seconds) >= REPORT_SECONDS:
                self._report(f"Kafka at {kafka.bootstrap} has not taken what was written for {waited:,.0f} s; waiting")
            elif line := self._progress.line(time.monotonic(), time.time()):
                self._report(line)

    async def _wait(self, why: str, seconds: float | None) -> None:
        pause = self._pauses.seconds(seconds)
        self._report(f"Reconnecting in {pause:,.0f} s: {why}")
        await asyncio.sleep(pause)


def _shown(error: KafkaError) -> str:
    """Return what an error of Kafka says, and of those that would come again and again, what to do."""
    if isinstance(error, MessageSizeTooLargeError):
        return f"{error!r}; raise `max.message.bytes` of the topic, then the mirror continues"
    if isinstance(error, InvalidTimestampError):
        return f"{error!r}; raise `message.timestamp.after.max.ms` of the topic, then the mirror continues"
    return repr(error)
