"""The engine's bounds: bytes it may hold, seconds it waits, and how much it does at a time.

One frozen value, made once by the process and handed to every part; a test hands in another one. Here is what somebody
may want to change. Measured sizes, ratios and what the wire contract fixes stay beside the code that they explain.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

_MAY_BE_ZERO = frozenset(
    {
        "keepalive_seconds",
        "gather_seconds",
        "grace_seconds",
        "history_cache_bytes",
        "history_bytes_per_second",
        "few_followers",
        "log_seconds",
        "changed_log_seconds",
    }
)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Bytes in memory, seconds, and counts. Raises ValueError for one that is negative, or 0 where it must not be."""

    # The newest events: rings and feeds.

    ring_bytes: int = 8 << 20
    """Maximum bytes of the newest events of one partition; all feeds together take about as much."""
    feed_min_bytes: int = 64 * 1024
    """Minimum share of one feed: however many feeds there are, each may hold this."""
    block_bytes: int = 64 * 1024
    """Maximum bytes of a block of a feed, and of one write of it, that holds more than one event."""
    max_copied_bytes: int = 256 * 1024
    """An event larger than this is not copied into a frame: its parts are written one after the other."""
    max_feeds: int = 5_000
    """Maximum number of feeds with which another filter is accepted."""
    feed_seconds: float = 10.0
    """Seconds that blocks are kept where feeds are so many that each has its minimum: quiet feeds are then small."""
    feed_min_seconds: float = 1.0
    """Seconds that blocks are kept at least, however much feeds hold."""
    idle_feeds: int = 32
    """Maximum number of feeds without clients that are kept, for clients that reconnect at once."""
    grace_seconds: float = 60.0
    """Seconds that a feed without clients is kept."""
    keepalive_seconds: float = 15.0
    """Seconds without an event after which clients are sent a comment; 0 for never."""
    housekeeping_seconds: float = 1.0
    """Seconds between two looks at what is due: comments, idle feeds, old blocks, what is not read."""

    # Writing to live clients.

    few_followers: int = 50
    """Up to this number of followers in the process, every event is written at once."""
    gather_seconds: float = 0.03
    """Seconds between two rounds of writing where there are more followers."""
    slice_followers: int = 128
    """Number of followers that are written to before the event loop has a turn."""

    # Compression.

    compression_windows: int = 64
    """Maximum number of feeds, formats and codings that compress with a common window; others do without."""
    compression_seconds: float = 5.0
    """Seconds after which a common window begins again: until then, a newcomer gets pieces that stand alone."""
    compression_idle_seconds: float = 60.0
    """Seconds without an event after which a common window is given back."""
    compression_piece_bytes: int = 16 * 1024
    """Maximum compressed bytes of the last blocks of a feed, kept for clients that are served a moment later."""

    # The past: history and catching up.

    history_readers: int = 8
    """Maximum number of clients that read below the rings at once."""
    history_cache_bytes: int = 64 << 20
    """Maximum bytes of historical events that are kept for others; all readers together hold about as much again."""
    history_bytes_per_second: int = 0
    """Maximum bytes a second that reads of history take from Kafka, as Kafka holds them; 0: any number."""
    read_bytes: int = 1 << 20
    """Maximum bytes of one fetch for history, as Kafka holds them: compressed."""
    history_block_bytes: int = 64 * 1024
    """Maximum bytes, framed, of a block of history that holds more than one record: what leaves in one write."""
    frame_bytes: int = 400
    """About what is added to a record on its way into an SSE event: id, field names, members of `meta`."""
    min_turn_bytes: int = 1 << 20
    """Minimum bytes that a reader is sent before its turn ends because others wait."""
    turn_seconds: float = 2.0
    """Seconds after which a reader's turn ends if others wait."""
    chunk_bytes: int = 64 * 1024
    """Maximum bytes of a chunk of history that holds more than one event."""
    examined_bytes: int = 256 * 1024
    """Maximum bytes of events that a filter examines for one chunk: where it wants few of them, that takes the time."""
    shared_items: int = 8
    """Minimum records of a block that is kept as it was framed, for others who read the same."""
    look_ahead_bytes: int = 1 << 20
    """Maximum bytes of the rings that a client which catches up holds, besides one event of each partition."""
    yield_bytes: int = 256 * 1024
    """Bytes that a client which catches up is sent before the event loop has a turn, if nothing else is waited for."""

    # An end, and checkpoints.

    watch_seconds: float = 0.5
    """Maximum seconds until a client looks again whether something is due that no event announces."""
    checkpoint_look_seconds: float = 1.0
    """Seconds between two looks whether a client's position has moved, once a checkpoint may be due."""
    clock_seconds: float = 60.0
    """Maximum seconds between two looks at the time of day, which may be set."""

    # Taking turns.

    turn_records: int = 100
    """Maximum records that are decoded or encoded before the event loop has a turn."""
    decompress_bytes: int = 64 * 1024
    """A compressed batch that is larger is decompressed in a thread. For others that would cost too much."""
    idle_round_seconds: float = 0.01
    """Minimum seconds of a round of polling that brought nothing, whatever Kafka or the settings say: no spinning."""

    # Kafka: patience and retries.

    ready_seconds: float = 2.7
    """Maximum seconds that a new client waits until its partitions are placed."""
    feed_poll_seconds: float = 0.05
    """Seconds between two looks at a feed that is behind a client."""
    retry_seconds: float = 0.5
    """Seconds before something that failed in the hub, or for a client, is tried again."""
    denied_seconds: float = 5.0
    """Seconds between two tries to read a partition that the service is not authorised to read."""
    broker_retry_seconds: float = 0.25
    """Seconds that the tail leaves a broker or a partition alone after it did not answer."""
    next_broker_seconds: float = 0.25
    """Seconds after which a broker that has not answered is no longer waited for alone: another one is asked too."""
    leader_retry_seconds: float = 0.25
    """Seconds before a request asks again for partitions whose leader moves."""
    leader_patience_seconds: float = 0.4
    """Seconds after which a request no longer asks again for partitions that Kafka did not answer for."""
    lookup_seconds: float = 2.0
    """Maximum seconds of a look-up: the client is told within 3 seconds (wire contract, errors)."""
    ping_seconds: float = 1.0
    """Seconds between two signs of life of Kafka, and the maximum that one may take."""
    refresh_seconds: float = 10.0
    """Maximum seconds until new topics and partitions are found (contract: a minute)."""
    hidden_seconds: float = 1.0
    """Minimum age of the last answer, in seconds, before a client's request asks again for a topic it did not show."""
    trouble_seconds: float = 1.5
    """A partition that cannot be read for longer has more than a moving leader: clients no longer wait for it."""
    stall_seconds: float = 4.0
    """Seconds after which a partition that was not read stands still: Kafka answers for a quiet one twice a second."""
    late_loop_seconds: float = 2.0
    """If the event loop was held up for as long, what it has not read says nothing about Kafka."""

    # Look-ups, shared by all who ask the same.

    bounds_seconds: float = 0.5
    """Seconds that an answer about a partition's first and last offset is good for."""
    found_seconds: float = 5.0
    """Seconds that an answer about the offset at a time is good for."""
    before_seconds: float = 60.0
    """Seconds that an answer about the record before an offset is good for."""
    max_answers: int = 10_000
    """Maximum number of answers of one kind that are kept."""
    rates_seconds: float = 30.0
    """Seconds that the rates of streams are good for, and that Kafka is not asked again when it has not answered."""
    rates_patience_seconds: float = 2.5
    """Maximum seconds that a page waits for the rates of streams."""

    # The log.

    log_seconds: float = 60.0
    """Minimum seconds between two log entries of one fault, or of a trouble that lasts."""
    changed_log_seconds: float = 15.0
    """Minimum seconds between two log entries of a trouble whose reason changes."""
    skipped_log_seconds: float = 10.0
    """Minimum seconds between two log entries about skipped records; the metric counts them all."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name not in _MAY_BE_ZERO):
                expected = "0 or more" if field.name in _MAY_BE_ZERO else "more than 0"
                raise ValueError(f"{field.name} is {value}: expected {expected}")


DEFAULT = Tuning()
"""What is used where nothing else is handed in."""
