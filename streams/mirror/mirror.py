"""The loop of the mirror: find where it stands, read on from there, write what is new, and say how it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError, ProducerFenced

from streams.core.sse_parser import Comment, Item, Message, Retry
from streams.mirror.event import read_event
from streams.mirror.own_kafka import OwnKafka
from streams.mirror.positions import Positions, Verdict
from streams.mirror.upstream import Pauses, Unavailable, Upstream, UpstreamError

REPORT_SECONDS = 10.0


@dataclass
class Counts:
    """What the mirror has done since it started."""

    written: int = 0
    repeated: int = 0
    holes: int = 0
    gaps: int = 0
    canaries: int = 0
    unreadable: int = 0
    cuts: int = 0

    def sentence(self) -> str:
        """Return them in words; what never happened is left out."""
        parts = [f"{self.written:,} events written"]
        for count, words in (
            (self.repeated, "dropped as repeated"),
            (self.holes, "holes in offsets"),
            (self.gaps, "gaps reported"),
            (self.canaries, "canary events dropped"),
            (self.unreadable, "events that could not be read"),
            (self.cuts, "reconnects"),
        ):
            if count:
                parts.append(f"{count:,} {words}")
        return ", ".join(parts)


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
        self._newest_ms = 0
        self._reported: tuple[float, int, int] = (time.monotonic(), 0, 0)

    async def run(self) -> None:
        """Mirror until cancelled. Raises UpstreamError."""
        while True:
            try:
                async with OwnKafka(self._client, self._upstream.names) as kafka:
                    positions = await kafka.positions()
                    if positions.resume_since:
                        self._report("Other streams were mirrored before: reading again what they have in common.")
                    elif positions.resume_id:
                        self._report("Resuming after what has been written.")
                    else:
                        self._report(f"Nothing has been written yet: starting at {self._since or 'the live end'}.")
                    await self._follow(kafka, positions)
            except ProducerFenced:
                raise UpstreamError(
                    "another mirror of the same streams has begun to write to this Kafka: run one of them"
                ) from None
            except KafkaError as error:
                await self._wait(f"Kafka at {self._client['bootstrap_servers']}: {error!r}", None)

    async def _follow(self, kafka: OwnKafka, positions: Positions) -> None:
        """Read connection after connection, all from one position, while Kafka takes what is written."""
        while True:
            why, seconds = "the stream ended", None
            try:
                async for items in self._upstream.read(positions.resume_id, positions.resume_since or self._since):
                    if self._upstream.gap_header:
                        self._gap(self._upstream.gap_header)
                        self._upstream.gap_header = ""
                    for item in items:
                        why = await self._take(item, kafka, positions) or why
                    self._report_when_due()
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
        except ValueError as error:
            self.counts.unreadable += 1
            if self.counts.unreadable == 1:
                self._report(f"Left out, and counted from now on: {error}.")
            return
        self._pauses.succeeded()
        positions.saw([message.id])
        verdict = positions.judge(event)
        where = f"{event.topic} partition {event.partition}"
        if verdict is Verdict.REPEATED:
            self.counts.repeated += 1
            return
        if verdict is Verdict.AFTER_HOLE:
            self.counts.holes += 1
        elif verdict is Verdict.RESTARTED:
            self._report(f"The log of {where} began again in the source, with offset {event.offset}.")
        self._newest_ms = max(self._newest_ms, event.timestamp)
        if event.is_canary and not self._keep_canaries:
            self.counts.canaries += 1
            return
        await kafka.write(event, message.id)
        self.counts.written += 1

    def _gap(self, said: str) -> None:
        self.counts.gaps += 1
        self._report(f"A gap: the source no longer has all that was asked for: {said[:1000]}")

    def _report_when_due(self) -> None:
        at, written, newest = self._reported
        now = time.monotonic()
        if now - at < REPORT_SECONDS:
            return
        rate = (self.counts.written - written) / (now - at)
        behind = max(0.0, time.time() - self._newest_ms / 1000) if self._newest_ms else 0.0
        gained = (self._newest_ms - newest) / 1000 / (now - at) - 1 if newest else 0.0
        to_go = f", {behind / gained:,.0f} s to go" if behind > REPORT_SECONDS and gained > 0 else ""
        self._report(f"{self.counts.sentence()}; {rate:,.1f} a second, {behind:,.0f} s behind{to_go}")
        self._reported = (now, self.counts.written, self._newest_ms)

    async def _wait(self, why: str, seconds: float | None) -> None:
        pause = self._pauses.seconds(seconds)
        self._report(f"Reconnecting in {pause:,.0f} s: {why}")
        await asyncio.sleep(pause)
