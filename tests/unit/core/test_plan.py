"""What a request reads, and from where: the wire contract's "Choosing where to start"."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.core.catalogue import Stream
from streams.core.errors import NoTopicsAvailable, TopicNotAvailable
from streams.core.plan import Plan, Start, plan
from streams.core.positions import END, OLDEST, Cursor, Gap, Scope, TopicPartition, parse_last_event_id


def stream(*topics: str, allowed: tuple[str, ...] = ()) -> Stream:
    return Stream("s", topics, allowed, (), "", None, None, False, {})


def ours(topic: str, partition: int, offset: int = 5, timestamp: int = 100, **more: str) -> dict[str, Any]:
    return {"topic": topic, "partition": partition, "timestamp": timestamp, "cursor": f"cluster1:{offset}", **more}


def planned(*entries: Any, streams: tuple[Stream, ...], kafka: dict[str, int], since: int | None = None) -> Plan:
    return plan(streams, since, parse_last_event_id(json.dumps(list(entries)) if entries else ""), kafka)


def at(topic: str, partition: int) -> TopicPartition:
    return TopicPartition(topic, partition)


CURSOR = Start(timestamp=100, cursor=Cursor("cluster1", 5))


def test_without_anything_every_partition_starts_at_its_end() -> None:
    got = planned(streams=(stream("a", "b"), stream("b", "c")), kafka={"a": 2, "b": 1, "c": 1, "other": 3})
    end = Start(offset=END)
    assert got == Plan(
        frozenset("abc"), {at("a", 0): end, at("a", 1): end, at("b", 0): end, at("c", 0): end}, Scope.STREAMS
    )


def test_since_is_where_every_partition_starts() -> None:
    got = planned(streams=(stream("a"),), kafka={"a": 2}, since=17)
    assert set(got.starts.values()) == {Start(timestamp=17)}


def test_topics_that_kafka_does_not_have_are_followed_until_they_come() -> None:
    got = planned(streams=(stream("a", "later"),), kafka={"a": 1})
    assert got.topics == {"a", "later"}
    assert set(got.starts) == {at("a", 0)}


def test_no_topic_at_all_is_said() -> None:
    with pytest.raises(NoTopicsAvailable):
        planned(streams=(stream("a", "b", allowed=("c",)),), kafka={"c": 1})


# An id that a client made, or that the old service made.


def test_an_id_replaces_the_topics_of_the_route() -> None:
    got = planned({"topic": "b", "partition": 0, "timestamp": 9}, streams=(stream("a", "b"),), kafka={"a": 1, "b": 1})
    assert got == Plan(frozenset("b"), {at("b", 0): Start(timestamp=9)}, Scope.TOPICS)


def test_an_id_may_name_a_topic_that_is_only_allowed() -> None:
    got = planned(
        {"topic": "codfw.a", "partition": 0, "offset": 3},
        streams=(stream("eqiad.a", allowed=("codfw.a",)),),
        kafka={"eqiad.a": 1, "codfw.a": 1},
    )
    assert got == Plan(frozenset({"codfw.a"}), {at("codfw.a", 0): Start(offset=3)}, Scope.TOPICS)


def test_an_id_that_lists_some_partitions_reads_those_and_no_others() -> None:
    got = planned({"topic": "a", "partition": 1, "offset": 3}, streams=(stream("a"),), kafka={"a": 2})
    assert got == Plan(frozenset(), {at("a", 1): Start(offset=3)}, Scope.PARTITIONS)


def test_an_id_that_lists_all_there_is_follows_the_streams() -> None:
    entries = [{"topic": "a", "partition": n, "offset": n} for n in range(2)]
    got = planned(*entries, streams=(stream("a", "later"),), kafka={"a": 2})
    assert got == Plan(
        frozenset({"a", "later"}), {at("a", 0): Start(offset=0), at("a", 1): Start(offset=1)}, Scope.STREAMS
    )


def test_an_offset_stands_beside_a_timestamp_and_a_cursor_of_a_foreign_id_is_none() -> None:
    got = planned(
        {"topic": "a", "partition": 0, "offset": 3, "timestamp": 9, "cursor": "cluster1:7"},
        streams=(stream("a"),),
        kafka={"a": 1},
    )
    assert got.starts == {at("a", 0): Start(offset=3, timestamp=9)}


@pytest.mark.parametrize(("since", "start"), [(None, Start(offset=END)), (17, Start(timestamp=17))])
def test_a_bare_topic_name_starts_from_since_or_the_end(since: int | None, start: Start) -> None:
    got = planned(
        "a",
        {"topic": "b", "partition": 0, "offset": 3},
        streams=(stream("a", "b"),),
        kafka={"a": 2, "b": 1},
        since=since,
    )
    assert got.starts == {at("a", 0): start, at("a", 1): start, at("b", 0): Start(offset=3)}
    assert got.scope is Scope.STREAMS


def test_a_partition_that_the_topic_does_not_have_is_ignored() -> None:
    entries = [{"topic": "a", "partition": n, "offset": n} for n in (0, 7)]
    got = planned(*entries, streams=(stream("a"),), kafka={"a": 1})
    assert got.starts == {at("a", 0): Start(offset=0)}
    assert got.gaps == ()


@pytest.mark.parametrize(("since", "start"), [(None, Start(offset=END)), (17, Start(timestamp=17))])
def test_an_id_that_lists_only_such_partitions_is_as_none(since: int | None, start: Start) -> None:
    got = planned({"topic": "a", "partition": 7, "offset": 0}, streams=(stream("a"),), kafka={"a": 1}, since=since)
    assert got == Plan(frozenset("a"), {at("a", 0): start}, Scope.STREAMS)


@pytest.mark.parametrize("topic", ["other", "missing"])
def test_an_id_that_names_a_topic_outside_the_streams_or_outside_kafka_is_refused_by_name(topic: str) -> None:
    with pytest.raises(TopicNotAvailable, match=topic):
        planned(
            {"topic": "a", "partition": 0, "offset": 0},
            {"topic": topic, "partition": 0, "offset": 0},
            streams=(stream("a", "missing"),),
            kafka={"a": 1, "other": 1},
        )


# An id of ours.


def test_our_id_goes_on_at_its_cursors() -> None:
    got = planned(ours("a", 0), ours("b", 0, 9), streams=(stream("a", "b"),), kafka={"a": 1, "b": 1})
    assert got == Plan(
        frozenset("ab"),
        {at("a", 0): CURSOR, at("b", 0): Start(timestamp=100, cursor=Cursor("cluster1", 9))},
        Scope.STREAMS,
    )


def test_a_partition_that_is_missing_from_our_id_has_been_created_since() -> None:
    got = planned(ours("a", 0), streams=(stream("a"),), kafka={"a": 3})
    assert got.starts == {at("a", 0): CURSOR, at("a", 1): Start(offset=OLDEST), at("a", 2): Start(offset=OLDEST)}
    assert got.topics == {"a"}


def test_a_topic_that_the_streams_have_gained_starts_at_the_newest_timestamp_of_our_id() -> None:
    got = planned(
        ours("a", 0, timestamp=100), ours("a", 1, timestamp=300), streams=(stream("a", "b"),), kafka={"a": 2, "b": 1}
    )
    assert got.starts[at("b", 0)] == Start(timestamp=300)
    assert got.gaps == ()


@pytest.mark.parametrize(("streams", "kafka"), [(("a", "b"), {"a": 1}), (("a",), {"a": 1, "b": 1})])
def test_a_topic_that_is_lost_is_a_gap_and_no_error(streams: tuple[str, ...], kafka: dict[str, int]) -> None:
    got = planned(ours("a", 0), ours("b", 0, 9), streams=(stream(*streams),), kafka=kafka)
    assert set(got.starts) == {at("a", 0)}
    assert got.gaps == (Gap("b", 0, 9, None),)


def test_where_the_only_topic_is_lost_the_others_of_the_streams_are_read_on() -> None:
    got = planned(ours("b", 0, 9), streams=(stream("a"),), kafka={"a": 1})
    assert got == Plan(frozenset("a"), {at("a", 0): Start(timestamp=100)}, Scope.STREAMS, (Gap("b", 0, 9, None),))


def test_where_the_only_topic_is_lost_and_there_is_no_other_it_is_said() -> None:
    with pytest.raises(NoTopicsAvailable):
        planned(ours("b", 0), streams=(stream("b"),), kafka={})


def test_a_partition_that_the_topic_does_not_have_is_ignored_in_our_id_too() -> None:
    got = planned(ours("a", 0), ours("a", 1, 8), streams=(stream("a"),), kafka={"a": 1})
    assert got == Plan(frozenset("a"), {at("a", 0): CURSOR}, Scope.STREAMS)
    got = planned(ours("a", 1, 8), streams=(stream("a"),), kafka={"a": 1})
    assert got == Plan(frozenset("a"), {at("a", 0): Start(timestamp=100)}, Scope.STREAMS)


def test_who_reads_some_partitions_gets_no_others_after_resuming() -> None:
    got = planned(ours("a", 1, only="partitions"), streams=(stream("a", "b"),), kafka={"a": 3, "b": 1})
    assert got == Plan(frozenset(), {at("a", 1): CURSOR}, Scope.PARTITIONS)


def test_who_reads_some_topics_gets_their_new_partitions_and_no_other_topics() -> None:
    got = planned(ours("a", 0, only="topics"), streams=(stream("a", "b"),), kafka={"a": 2, "b": 1})
    assert got == Plan(frozenset("a"), {at("a", 0): CURSOR, at("a", 1): Start(offset=OLDEST)}, Scope.TOPICS)


def test_in_our_id_an_entry_that_the_client_has_changed_to_an_offset_is_honoured() -> None:
    got = planned(ours("a", 0), {"topic": "a", "partition": 1, "offset": END}, streams=(stream("a"),), kafka={"a": 2})
    assert got.starts == {at("a", 0): CURSOR, at("a", 1): Start(offset=END)}
