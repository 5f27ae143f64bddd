"""A reader with an end that is cut off at any byte gets every event before it once, and is then told to stop.

Wire contract, "An end". `test_exactness.py` has the same for streams without an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.faults.test_exactness import PARTITIONS, SEED, TYPES, wanted, write_unevenly
from tests.support.client.reading import CutLinesReader, CutReader, by_partition, from_the_beginning
from tests.support.kafka.writing import meanwhile, partitions_of, writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

CUTS = 50
PAGE = 20
FILTER = "&type=t0,t3"


def a_few_bytes(chance: random.Random) -> int:
    """Where to cut: in the headers, within the first events, or later."""
    return chance.choice([chance.randint(1, 600), chance.randint(300, 6_000), chance.randint(3_000, 20_000)])


async def to_the_end(reader: CutReader, sites: Sequence[Site], chance: random.Random) -> int:
    """Read until 204, with CUTS connections that are cut; return the number of connections."""
    connections = 0
    while not reader.is_told_to_stop:
        cut = a_few_bytes(chance) if connections < CUTS else 1 << 30
        with contextlib.suppress(OSError):  # one of the servers restarts
            await reader.read(chance.choice(sites).port, cut, 0.15)
            connections += 1
        await asyncio.sleep(0.02)
    return connections


async def test_readers_cut_at_random_bytes_get_every_event_before_their_end_once_and_then_204(
    kafka: Any, make_topic: Callable[..., str], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    topics = [make_topic(PARTITIONS) for _ in range(2)]
    partitions = partitions_of(topics, PARTITIONS)
    until = int(time.time() * 1000) + 600_000
    path = f"{PATH}?until={until}"
    beginning = from_the_beginning(partitions)
    readers = {
        "filtered": CutReader(path + FILTER, beginning),
        "pages": CutReader(f"{path}&limit={PAGE}", beginning),
        "lines": CutLinesReader(path, beginning),
        "pages of lines": CutLinesReader(f"{path}&limit={PAGE}", beginning),
    }
    right: dict[str, Any] = {"": {}, FILTER: {}}
    async with (
        serving(tmp_path, kafka.bootstrap, topics, drain_seconds=0.2) as first,
        serving(tmp_path, kafka.bootstrap, topics) as second,
        writer(kafka.bootstrap) as to,
    ):
        to.types = TYPES

        async def write() -> None:
            for ending in (partitions[::2], partitions[1::2]):
                await write_unevenly(to, partitions, to.count + 250, 2.0, chance)
                for tp in ending:
                    await to.write(tp, [until - 1])
                    for query, held in right.items():
                        held[tp] = wanted(to, query)[tp]
                    await to.write(tp, [until + chance.choice([0, 5_000]), until - 1])
                if ending[0] is partitions[0]:
                    await asyncio.to_thread(first.stop)
                    await asyncio.to_thread(first.start)

        async with meanwhile(write()):
            connections = await asyncio.wait_for(
                asyncio.gather(*(to_the_end(each, (first, second), chance) for each in readers.values())), 120
            )
        whole = CutReader(path + FILTER, beginning)
        await whole.read(second.port, 1 << 30, 20.0)
    assert min(connections) >= CUTS
    for name, reader in readers.items():
        assert by_partition(reader.seen) == {
            tp: held for tp, held in right[FILTER if name == "filtered" else ""].items() if held
        }
        assert not any(comment.startswith(b":gap") for comment in reader.comments), name
        assert all(b'"draining"' in error for error in reader.errors), name
    # A client may be cut just before it gets its end; 204 says it then.
    assert [end["reason"] for end in whole.ends] == ["until"]
    assert by_partition(whole.seen) == by_partition(readers["filtered"].seen)
    reasons = Counter(end["reason"] for end in readers["pages"].ends)
    assert reasons["limit"] >= 1
    assert set(reasons) <= {"limit", "until"}
    assert {end["events"] for end in readers["pages"].ends if end["reason"] == "limit"} == {PAGE}
