"""The brokers become another cluster, made again or a mirror: offsets mean something else there, and ids say so."""

from __future__ import annotations

from streams.engine.memory import MemorySource
from tests.support.engine import Engine, eventually, whole
from tests.support.engine.hub import TP, HastyEngine, received, topic, write


async def become_another_cluster(engine: Engine, source: MemorySource, *timestamps: int, skipped: int = 0) -> None:
    source.silent.add(1)  # its connections are broken, and the metadata come first (as KafkaSource.poll has it)
    source._cluster_id = "other-cluster"
    source.delete("t")
    source.create("t")
    source.skip("t", skipped)
    write(source, *timestamps)
    await eventually(lambda: engine.hub._cluster_id == "other-cluster")
    source.silent.clear()


async def test_a_mirror_goes_on_where_the_times_say_so_and_ids_have_its_name() -> None:
    source = topic(100, 200)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        write(source, 300)
        await eventually(lambda: received(feed).offsets == {TP: [2]})
        await become_another_cluster(engine, source, 100, 200, 300, 400, skipped=50)
        await eventually(lambda: len(received(feed).offsets[TP]) == 3)
        got = received(feed)
        assert got.offsets == {TP: [2, 52, 53]}, "from the last one seen on: nothing lost, perhaps repeated"
        assert got.gaps == [{"topic": "t", "partition": 0, "asked": 3, "served": 52}]
        assert '"cursor":"other-cl:54"' in got.ids[-1]
        assert '"cursor":"memory-c:3"' in got.ids[0]


async def test_where_nothing_of_such_a_time_is_there_it_goes_on_at_the_end() -> None:
    source = topic(100, 200)
    async with HastyEngine(source).running("t") as engine, engine.hub.feed(whole("t")) as feed:
        await become_another_cluster(engine, source, *range(10, 90))
        await eventually(lambda: received(feed).gaps)
        write(source, 500)
        await eventually(lambda: received(feed).offsets == {TP: [80]})
        assert '"cursor":"other-cl:81"' in received(feed).ids[-1]
