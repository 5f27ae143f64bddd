"""A long run of several workers with load, restarts and failures: ``python -m tests.soak --minutes 60``.

300 clients come and go, live, resuming and filtered, while 50 events arrive each second; redacted pages and the
configuration change, the source of the streams changes and fails, workers are killed. In the end nothing may be lost
or repeated, memory and descriptors must be as they were at half time, and the log must have no error that was not
provoked.
Exit status: 0 if all is well.

EVENTSTREAMS_TEST_KAFKA names a Kafka to be used; without it the run starts its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from streams.core.positions import TopicPartition
from streams.engine.kafka.create_topics import create_topics
from streams.local.kafka import LocalKafka
from tests.support.around.config_server import ConfigServer, document, silence, status
from tests.support.client.exact import ExactReader, all_have
from tests.support.kafka.writing import Writer, partitions_of, writer
from tests.support.site import Site
from tests.support.site.serving import PATH, workers_of
from tests.support.site.supervised import Ops, supervised

CLIENTS, TOPICS, PARTITIONS, TYPES = 300, 2, 2, 5
EVENTS_PER_SECOND = 50
SAMPLE_SECONDS = 5.0
SETTLING_SECONDS = 25.0
"""Seconds after a change of workers in which no sample is taken."""
LAST_SECONDS = 90.0
"""Maximum seconds until all clients are connected in the end, and until they have all events."""
WITHIN = 0.05
MIN_SAMPLES = 3
"""Minimum number of samples of a quarter for a verdict."""
CALM_SECONDS = 50.0
"""Seconds at the end of each of the last two quarters in which workers are left alone if the quarter lacks samples."""
PROVOKED = (
    r"Worker \d+ exited with -9; restarting in",
    r"Worker \d+ exited with -9 before it was ready",  # a successor was killed: the reload fails, as it should
    r"could not be replaced: its successor could not be started, or exited",
    r"stream configuration",
    r"Cannot read .* from .*http://127",
)
"""Errors of the log that this run causes on purpose."""


class Sample(NamedTuple):
    """What the processes hold: bytes of memory, and descriptors besides those of connections."""

    at: float
    rss: float
    descriptors: float


class Soak:
    """One run."""

    def __init__(
        self,
        ops: Ops,
        site: Site,
        source: ConfigServer,
        described: dict[str, Any],
        seconds: float,
        chance: random.Random,
    ) -> None:
        self.ops, self.site, self.source, self.seconds, self.chance = ops, site, source, seconds, chance
        self.began = time.monotonic()
        self.samples: list[Sample] = []
        self.readers: list[ExactReader] = []
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.done: Counter[str] = Counter()
        self.happenings: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (60, self.kill_a_worker),
            (75, self.reload),
            (20, self.redact_a_page),
            (45, self.fail_the_source),
            (50, self.change_the_streams),
        ]
        """What happens, and about every how many seconds."""
        self.document = described
        self._changed_at = self.began

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    # Clients.

    async def client(self, number: int) -> None:
        """Come and go, like the one or the other kind of client."""
        path, step = PATH, TOPICS * PARTITIONS
        if number % 3 == 0:
            path, step = f"{PATH}?type=t{number % TYPES}", step * TYPES
        reader = ExactReader(self.site.port, path, step)
        self.readers.append(reader)
        await asyncio.sleep(self.chance.uniform(0, 10))
        while True:
            await reader.read(self.chance.choice([2, 10, 30, 120]) * self.chance.uniform(0.5, 1.5))
            await asyncio.sleep(self.chance.choice([0.1, 0.5, 2, 15]))
            if self.chance.random() < 0.1:  # a newcomer in its place
                self.leave(reader)
                reader = ExactReader(self.site.port, path, step)
                self.readers.append(reader)

    def leave(self, reader: ExactReader) -> None:
        """Keep what was wrong with a client that does not return."""
        self.readers.remove(reader)
        self.ends += reader.ends
        self.wrong += reader.wrong

    # What happens meanwhile.

    async def every(self, seconds: float, what: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.7, 1.3) * seconds)
            await what()
            self.done[what.__name__] += 1

    async def calm(self) -> None:
        """Wait while the present quarter, one of the last two, still needs samples of workers that are left alone."""
        quarter = self.seconds / 4
        for number in (2, 3):
            end = (number + 1) * quarter
            while end - CALM_SECONDS < self.elapsed < end and len(self.samples_of(number)) < MIN_SAMPLES:
                await asyncio.sleep(0.5)

    def samples_of(self, number: int) -> list[Sample]:
        """Return the samples of a quarter, from 0 to 3."""
        begin, end = (each * self.seconds / 4 for each in (number, number + 1))
        return [each for each in self.samples if begin < each.at <= end]

    async def kill_a_worker(self) -> None:
        """As the kernel does when memory is short."""
        await self.calm()
        os.kill(self.chance.choice(workers_of(self.site)), signal.SIGKILL)
        self._changed_at = time.monotonic()

    async def reload(self) -> None:
        """Replace all workers, by ones with another configuration."""
        await self.calm()
        path = Path(self.site.django_env["EVENTSTREAMS_CONFIG"])
        settings = {**yaml.safe_load(path.read_text()), "max_streams": self.chance.randint(5, 50)}
        path.write_text(yaml.safe_dump(settings))
        os.kill(self.site.pid, signal.SIGHUP)
        self._changed_at = time.monotonic()

    async def redact_a_page(self) -> None:
        """As an admin's form does."""
        title = uuid.uuid4().hex
        with contextlib.closing(sqlite3.connect(self.site.database, timeout=10)) as database, database:
            database.execute(
                "INSERT INTO redaction_redactedpage (domain, title, key, reason, added_at) VALUES (?, ?, ?, '', ?)",
                ("xx.example.org", title, title, "2026-01-01 00:00:00"),
            )
            database.execute(
                "INSERT INTO streams_version VALUES ('redacted pages', 1) ON CONFLICT (name) DO UPDATE SET "
                "number = number + 1"
            )

    async def fail_the_source(self) -> None:
        """Nothing good comes from the source for a while."""
        self.source.answer = self.chance.choice([status(500), status(200, b"garbage"), silence])
        await asyncio.sleep(5)
        self.source.answer = document(dict(self.document))

    async def change_the_streams(self) -> None:
        """The source's document gets a further stream, or loses it: clients of the others must not notice."""
        names = self.document["test"]["topics"]
        if self.document.pop("further", None) is None:
            self.document["further"] = {"topics": names}
        self.source.answer = document(dict(self.document))

    async def sample(self) -> None:
        """Note what the processes hold, unless one is young."""
        metrics = await self.ops.metrics()
        processes = sum(1 for name in metrics if name.startswith("process_resident_memory_bytes"))
        is_whole = (
            metrics.get('eventstreams_worker_up{worker="0"}') == metrics.get('eventstreams_worker_up{worker="1"}') == 1
        )
        about = (await self.ops.state())["reload"]
        if processes != 3 or not is_whole or about["replacing"]:
            self._changed_at = time.monotonic()
        if time.monotonic() - self._changed_at < SETTLING_SECONDS:
            return

        def total(prefix: str) -> float:
            return sum(value for name, value in metrics.items() if name.startswith(prefix))

        connections = total("eventstreams_worker_connections{")
        self.samples.append(
            Sample(
                self.elapsed,
                total("process_resident_memory_bytes{"),
                total("process_open_fds{") - connections,
            )
        )

    async def tell(self) -> None:
        """One line on how it is going."""
        last = self.samples[-1] if self.samples else Sample(0, 0, 0)
        ends = sum((reader.ends for reader in self.readers), self.ends)
        print(
            f"{self.elapsed / 60:5.1f} min  {last.rss / 1e6:6.1f} MB  {last.descriptors:4.0f} files  "
            f"wrong {len(self.wrong) + sum(len(each.wrong) for each in self.readers)}  "
            f"ends {dict(ends)}  done {dict(self.done)}",
            flush=True,
        )

    async def write(self, to: Writer, partitions: list[TopicPartition]) -> None:
        """Write the events, one for each partition in turn."""
        to.types = TYPES
        began, pad = time.monotonic(), "x" * 1_000
        while self.elapsed < self.seconds:
            for tp in partitions:
                await to.write(tp, [None], pad)
            await asyncio.sleep(max(0.0, began + to.count / EVENTS_PER_SECOND - time.monotonic()))

    async def write_last(self, to: Writer, partitions: list[TopicPartition], readers: list[ExactReader]) -> None:
        """Write each type into each partition once more, when all can have it: one that came last has had no event."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                while not all(reader.is_open for reader in readers):
                    await asyncio.sleep(0.1)
        for _ in range(TYPES):
            for tp in partitions:
                await to.write(tp, [None], "x")

    async def run(self, to: Writer, partitions: list[TopicPartition]) -> None:
        """Run to the end."""
        beside = [asyncio.create_task(self.every(each, what)) for each, what in self.happenings]
        watching = [
            asyncio.create_task(self.every(SAMPLE_SECONDS, self.sample)),
            asyncio.create_task(self.every(15, self.tell)),
        ]
        clients = [asyncio.create_task(self.client(number)) for number in range(CLIENTS)]
        await self.write(to, partitions)
        for task in (*beside, *clients):
            task.cancel()
        await asyncio.gather(*beside, *clients, return_exceptions=True)
        readers = list(self.readers)
        reading = [asyncio.create_task(reader.read_forever()) for reader in readers]
        await self.write_last(to, partitions, readers)
        newest = {tp: to.held[tp][-1][1] for tp in partitions}
        self.wrong += await all_have(readers, newest, LAST_SECONDS)
        for task in (*reading, *watching):
            task.cancel()
        failed = await asyncio.gather(*watching, *reading, return_exceptions=True)
        self.wrong += [repr(each) for each in failed if isinstance(each, Exception)]
        self.ends = sum((reader.ends for reader in readers), self.ends)

    def verdict(self, log: str) -> list[str]:
        """Return what was not well."""
        found = self.wrong[:20]
        found += [f"{what.__name__} never happened" for _, what in self.happenings if not self.done[what.__name__]]
        third, fourth = self.samples_of(2), self.samples_of(3)
        if min(len(third), len(fourth)) < MIN_SAMPLES:
            found.append(f"too few samples for a verdict on memory: {len(third)} and {len(fourth)}")
        else:
            for name in ("rss", "descriptors"):
                before, after = (statistics.median(getattr(s, name) for s in some) for some in (third, fourth))
                print(f"{name}: {before:,.0f} in the third quarter, {after:,.0f} in the fourth")
                if after > before * (1 + WITHIN) + (10 if name == "descriptors" else 0):
                    found.append(f"{name} grew from {before:,.0f} to {after:,.0f}")
        errors = [line for line in log.splitlines() if re.match(r"\S+ \S+ (ERROR|CRITICAL) |Traceback", line)]
        found += [line for line in errors if not any(re.search(each, line) for each in PROVOKED)][:20]
        return found


async def main(minutes: float, seed: int, bootstrap: str) -> int:
    """Run; return the exit status."""
    chance = random.Random(seed)
    names = [f"soak.{uuid.uuid4().hex[:12]}" for _ in range(TOPICS)]
    await create_topics(bootstrap, dict.fromkeys(names, PARTITIONS), {})
    partitions = partitions_of(names, PARTITIONS)
    with tempfile.TemporaryDirectory() as folder, ConfigServer() as source:
        described: dict[str, Any] = {"test": {"topics": names}}
        source.answer = document(dict(described))
        settings = {
            "stream_config_uri": source.url,
            "stream_config_ttl": 5,
            "ring_bytes": 1 << 20,
            "history_cache_bytes": 1 << 20,
            "drain_seconds": 3,
        }
        async with (
            supervised(Path(folder), bootstrap, names[0], **settings) as (site, ops),
            writer(bootstrap) as to,
        ):
            soak = Soak(ops, site, source, described, minutes * 60, chance)
            await soak.run(to, partitions)
            log = site.log.read_text()
            found = soak.verdict(log)
    print(f"{to.count} events, {sum(soak.ends.values())} ends of connections: {dict(soak.ends)}; {dict(soak.done)}")
    print("\n".join(["NOT WELL:", *found]) if found else "All is well: nothing lost, nothing repeated.")
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=2026)
    asked = parser.parse_args()
    external = os.environ.get("EVENTSTREAMS_TEST_KAFKA")
    if external:
        sys.exit(asyncio.run(main(asked.minutes, asked.seed, external)))
    with tempfile.TemporaryDirectory() as data:
        own = LocalKafka(Path(data))
        own.start()
        try:
            sys.exit(asyncio.run(main(asked.minutes, asked.seed, own.bootstrap)))
        finally:
            own.kill()
