"""Clients that join, fall behind and are told things at any moment decode what an uncompressed client gets."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.events import Event
from streams.core.positions import Mark, Scope, TopicPartition
from streams.engine.compress.codings import NAMES
from streams.engine.compress.compression import Compression
from streams.engine.metrics import Metrics
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.feed import Selection
from streams.engine.tuning import Tuning
from tests.support.engine.compressed import CompressedClient
from tests.support.engine.lone_feed import LoneFeed

TP = TopicPartition("eqiad.mediawiki.recentchange", 0)
SELECTION = Selection(frozenset({TP.topic}), frozenset(), Scope.STREAMS)


def made_feed() -> LoneFeed:
    feed = LoneFeed(SELECTION)
    feed.place(TP, Mark(0, 0, 0))
    feed.clients = 2  # it keeps steps where there are several
    return feed


def add(feed: LoneFeed, count: int = 1, pad: bytes = b"") -> None:
    """Add one block of events that are alike."""
    first = feed.vector[TP].offset
    json = b'{"meta":{"domain":"commons.wikimedia.org","dt":"2026-11-29T08:00:00Z"},"n":%d,"pad":"%b"}'
    events = [Event(n, n, json % (n, pad or bytes([97 + n % 26]) * 300)) for n in range(first, first + count)]
    feed.extend(TP, events, Mark(0, first + count, first + count), 100.0)


def compression(**tuned: float) -> Compression:
    return Compression(Metrics(), Tuning(**tuned))  # type: ignore[arg-type]


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("events"), st.integers(1, 4)),
        st.tuples(st.just("join"), st.integers(0, 3)),
        st.tuples(st.sampled_from(["step", "own", "history", "stall", "leave"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["round", "redact", "miss", "comment", "old", "lose"]), st.just(0)),
    ),
    max_size=40,
)
TUNED = st.fixed_dictionaries(
    {
        "compression_seconds": st.sampled_from([1e-9, 1e9]),
        "compression_windows": st.sampled_from([1, 64]),
        "compression_piece_bytes": st.sampled_from([1, 1 << 14]),
    }
)


@given(MOVES, TUNED)
def test_at_any_moment_a_client_has_decoded_all_that_was_sent(
    moves: list[tuple[str, int]], tuned: dict[str, float]
) -> None:
    feed, shared = made_feed(), compression(**tuned)
    clients: list[CompressedClient] = []
    history = Chunk((b"data: of a block of history\n\n",), 1)
    for move, number in moves:
        some = [clients[number % len(clients)]] if clients else []
        if move == "events":
            add(feed, number)
        elif move == "join":
            back = feed.tip - number // 2 if feed.tip - number // 2 >= feed._first - 1 else feed.tip
            name, is_sse = NAMES[number % 2], number < 2
            clients.append(CompressedClient(shared, feed, name, back, is_sse=is_sse))
        elif move == "round":
            for client in clients:
                client.step()
        elif move == "redact":
            feed.forget()
            shared.forget()
        elif move == "lose":
            shared.forget()  # as when another chain gets the window
        elif move == "miss":
            feed.miss()
        elif move == "comment":
            feed.comment(b":gap []\n", (), 100.0)
        elif move == "old":
            feed.evict_before(1e9)
        for client in some if move in ("step", "own", "history", "stall", "leave") else ():
            if move == "step":
                client.step()
            elif move == "own":
                client.get(Chunk((b"retry: %d\n" % number,), 0))
            elif move == "history":
                client.get(history)
            elif move == "stall":
                client.takes = not client.takes
            else:
                client.end()
                clients.remove(client)
    for client in clients:
        client.end()


@pytest.fixture(params=NAMES)
def coding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_whatever_a_client_is_told_in_between_its_body_ends_right(coding: str) -> None:
    feed, shared = made_feed(), compression(compression_seconds=1e9)
    clients = [CompressedClient(shared, feed, coding, feed.tip) for _ in range(2)]
    for number in range(6):
        add(feed)
        for client in clients:
            client.step()
        if number % 2:
            clients[0].get(Chunk((b"retry: %d\n" % number,), 0))
        if number == 3:
            shared.forget()
    for client in clients:
        client.end()


def test_a_block_that_had_a_piece_never_gets_another_one(coding: str) -> None:
    """Clients that have the first are in another window than those with the second: what follows fits one of them."""
    feed, shared = made_feed(), compression(compression_seconds=1e9)
    quick, slow = (CompressedClient(shared, feed, coding, feed.tip) for _ in range(2))
    for _ in range(2):
        add(feed)
        quick.step()
    shared.forget()
    slow.step()  # both blocks in one step
    everybody = quick, slow, CompressedClient(shared, feed, coding, feed.tip)
    before = [client.sent for client in everybody]
    add(feed)
    for client in everybody:
        client.step()
    sizes = {client.sent - had for client, had in zip(everybody, before, strict=True)}
    assert len(sizes) == 1, "the next block begins a window"


def test_who_joins_after_a_pause_is_in_a_window_at_once(coding: str) -> None:
    feed, shared = made_feed(), compression(compression_seconds=1e9)
    early = CompressedClient(shared, feed, coding, feed.tip)
    add(feed)
    early.step()
    add(feed)  # which nobody takes
    late = CompressedClient(shared, feed, coding, feed.tip)
    sent = []
    for _ in range(2):
        add(feed)
        before = late.sent
        late.step()
        sent.append(late.sent - before)
    assert sent[1] < sent[0] / 2


def test_clients_that_join_at_other_times_soon_share_every_byte(coding: str) -> None:
    feed, shared = made_feed(), compression(compression_seconds=1e9)
    early = CompressedClient(shared, feed, coding, feed.tip)
    add(feed)
    early.step()
    late = CompressedClient(shared, feed, coding, feed.tip)
    add(feed)
    early.step(), late.step()
    assert late.sent > early.sent / 2, "the late one got a piece that stands alone"
    shared.forget()  # the next piece begins a window
    sent = []
    for _ in range(5):
        add(feed)
        before = early.sent, late.sent
        early.step(), late.step()
        sent.append((early.sent - before[0], late.sent - before[1]))
    assert all(one == other for one, other in sent)
    assert sent[-1][0] < sent[0][0] / 2


def test_a_client_that_takes_two_blocks_in_one_step_stays_in_the_window(coding: str) -> None:
    """As the last ones of a round do, if events come while the others are written to."""
    feed, shared = made_feed(), compression(compression_seconds=1e9)
    clients = [CompressedClient(shared, feed, coding, feed.tip) for _ in range(2)]
    add(feed)
    for client in clients:
        client.step()
    first, second = clients
    before = second.sent
    add(feed)
    first.step()
    add(feed)
    second.step()
    first.step()
    assert first.sent == second.sent
    assert second.sent - before < before / 2


def test_no_window_spans_two_versions_of_the_redaction_list(coding: str) -> None:
    """What is sent after a change can be read by somebody who has had nothing from before."""
    feed, shared = made_feed(), compression(compression_seconds=1e9)
    client = CompressedClient(shared, feed, coding, feed.tip)
    for _ in range(3):
        add(feed)
        client.step()
    feed.forget()
    shared.forget()
    newcomer = CompressedClient(shared, feed, coding, feed.tip)
    add(feed)
    before = client.sent, newcomer.sent
    client.step(), newcomer.step()
    assert client.sent - before[0] == newcomer.sent - before[1], "both got the piece that begins a window"


def test_windows_are_counted_and_bounded_and_the_quiet_give_theirs_to_others() -> None:
    shared = compression(compression_windows=2, compression_seconds=0.05)
    feeds = [made_feed() for _ in range(4)]
    clients = [CompressedClient(shared, feed, "zstd", feed.tip) for feed in feeds]
    for feed, client in zip(feeds, clients, strict=True):
        add(feed)
        client.step()
        assert shared.windows <= 2
    assert shared.windows == 2
    while len(shared._open.keys() & {shared._chains[feeds[3], True, "zstd"]}) == 0:
        add(feeds[3])
        clients[3].step()  # gets one once the first has been quiet for the time of a window
    assert shared.windows == 2
    for client in clients:
        client.end()
    assert shared.windows == 0
    assert not shared._chains


def test_a_quiet_window_is_given_back() -> None:
    shared = compression(compression_idle_seconds=1e-9)
    feeds = [made_feed() for _ in range(5)]
    clients = [CompressedClient(shared, feed, "gzip", feed.tip) for feed in feeds]
    for feed, client in zip(feeds, clients, strict=True):
        add(feed)
        client.step()
    assert shared.windows == 1


def test_who_comes_after_the_last_client_of_a_feed_gets_nothing_of_the_window_that_has_ended(coding: str) -> None:
    """The feed still has the step that was made for those who have left: what follows continues another window."""
    feed, shared = made_feed(), compression(compression_seconds=1e9)
    pads = [bytes(random.Random(seed).choices(b"0123456789abcdef", k=300)) for seed in range(2)]
    add(feed, pad=pads[0])
    gone = CompressedClient(shared, feed, coding, feed.tip)
    add(feed, pad=pads[1])
    gone.step()
    gone.end()
    early, late = (CompressedClient(shared, feed, coding, feed.tip - back) for back in (2, 1))
    for _ in range(3):
        early.step(), late.step()
        add(feed, pad=pads[0])  # which only the early one has had
    early.end(), late.end()


@pytest.mark.parametrize("coding", NAMES)
@pytest.mark.parametrize("is_sse", [True, False])
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_only_client_of_a_feed_stays_in_its_window_although_the_feed_keeps_no_block(
    coding: str, is_sse: bool, blocks: int
) -> None:
    sent = []
    for clients in (1, 2):
        feed = made_feed()
        feed.clients = clients
        client = CompressedClient(compression(), feed, coding, feed.tip, is_sse=is_sse)
        for _ in range(30):
            for _ in range(blocks):
                add(feed)
            client.step()
        client.end()
        assert (feed.held_bytes == 0) == (clients == blocks == 1)
        sent.append(client.sent)
    assert sent[0] == sent[1]
