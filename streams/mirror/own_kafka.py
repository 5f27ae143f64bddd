"""One's own Kafka: what the mirror writes there, and what it finds there when it starts.

Each record's headers say which record of the source it is, and the id with which the source sent it: the position is
kept with the events, so that both are written or neither is. Events are written in transactions, since a mirror that
was killed may leave batches that the brokers take only later: the next one, with the same transactional id, ends them
first, and then looks where the end is (KIP-82: headers; KIP-98: transactions).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import IllegalOperation, InvalidConfigurationError, KafkaError, NoError, for_code

from streams.core.positions import TopicPartition
from streams.engine.kafka.create_topics import create_topics
from streams.mirror.event import MirroredEvent, entries_of
from streams.mirror.positions import Positions, Written

MAX_EVENT_BYTES = 16 << 20
_MAX_RECORD_BYTES = MAX_EVENT_BYTES + (1 << 16)
TOPIC_CONFIG = {"retention.ms": str(7 * 86_400_000), "max.message.bytes": str(_MAX_RECORD_BYTES + (1 << 16))}
ANY_TIME = {"message.timestamp.after.max.ms": str(2**63 - 1)}
"""Timestamps are the source's, even wrong ones. Before Kafka 3.6 there was no such setting, and any was taken."""
OFFSET_HEADER, ID_HEADER, NAMES_HEADER = "mirror.offset", "mirror.id", "mirror.streams"
NEWEST_HEADER = "mirror.newest"
LOOK_BACK = 2_000
"""At the end of a partition, this number of records are searched for the newest that the mirror wrote."""
LOOK_SECONDS = 20.0
LOOK_WAIT_MS = 20
"""Maximum milliseconds of one wait for records: at the end of a partition there may be none, and the next one waits."""
STOP_SECONDS = 5.0
"""At a stop, what has been received has this time to be written; what is not is received again."""
CLOSE_SECONDS = 1.0
"""Maximum seconds for ending what sends, and as many for closing the connections."""
IN_FLIGHT = 2_000
"""Maximum records of a transaction."""
TRANSACTION_SECONDS = 60.0
"""Age from which the brokers end a transaction; its producer is then refused as if there was another one."""
COMMIT_SECONDS = 0.5
"""Seconds between transactions; readers see an event when its transaction has ended."""


class OwnKafka:
    """Writes to the Kafka of `client`, the arguments of aiokafka's clients. Every method may raise KafkaError."""

    def __init__(
        self, client: Mapping[str, Any], names: Sequence[str], committed: Callable[[int], object] = lambda _: None
    ) -> None:
        """`client` has at least `bootstrap_servers`; `names` are the streams that are mirrored.

        `committed` is told how many records readers see from now on.
        """
        self._client = dict(client)
        self.bootstrap = str(client["bootstrap_servers"])
        self._committed = committed
        self._flushing_since: float | None = None
        self._names = ",".join(sorted(names))
        self._lock = asyncio.Lock()
        self._is_open = False
        """Whether there is a transaction."""
        self._begun = 0.0
        """When it began, by the clock on the wall: a computer that sleeps stops all others."""
        self._partitions: dict[str, int] = {}
        self._writing: list[asyncio.Future[Any]] = []

    async def __aenter__(self) -> OwnKafka:
        """Start a producer; what an earlier mirror of the same streams left unfinished is ended."""
        self._producer = self._new_producer(self._names)
        try:
            await self._producer.start()
        except BaseException:
            await _stop(self._producer)
            raise
        self._committing = asyncio.create_task(self._commit_forever())
        return self

    def _new_producer(self, names: str) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._client,
            transactional_id=f"eventstreams-mirror-{hashlib.sha256(names.encode()).hexdigest()[:16]}",
            transaction_timeout_ms=int(TRANSACTION_SECONDS * 1000),
            compression_type="snappy",
            linger_ms=20,
            max_batch_size=1 << 18,
            max_request_size=_MAX_RECORD_BYTES,
        )

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the producer, after what it holds has been written, unless Kafka has failed."""
        self._committing.cancel()
        seconds = STOP_SECONDS
        try:
            if kind is asyncio.CancelledError:
                async with asyncio.timeout(STOP_SECONDS):
                    await self.flush()
        except (KafkaError, TimeoutError):
            seconds = 0.0  # a Kafka that fails now must not turn the stop into another attempt
        finally:
            await _stop(self._producer, seconds)

    @property
    def waiting_seconds(self) -> float:
        """Seconds for which Kafka has not taken what was written."""
        since = self._flushing_since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    @property
    def has_timed_out(self) -> bool:
        """Return whether the brokers have given up the transaction, as they do if a mirror is away for that time."""
        return self._is_open and time.time() - self._begun > TRANSACTION_SECONDS

    async def positions(self) -> Positions:
        """Return what mirrors of the streams have written, by the ends of the logs of all topics."""
        positions = Positions(self._names.split(","))
        admin = AIOKafkaAdminClient(**self._client)
        await admin.start()
        try:
            described = await admin.describe_topics()
        finally:
            await admin.close()
        self._partitions = {
            topic["topic"]: len(topic["partitions"]) for topic in described if not topic["topic"].startswith("__")
        }
        if not self._partitions:
            return positions  # a consumer that was given nothing to read cannot be stopped
        consumer = AIOKafkaConsumer(
            **self._client,
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=LOOK_WAIT_MS,
        )
        await consumer.start()
        try:
            for topic, count in sorted(self._partitions.items()):
                for number in range(count):
                    await self._find(consumer, TopicPartition(topic, number), positions)
            for names, partitions in positions.other_names.items():
                # It may still run. It must not write to these topics from now on, and may have done so until now.
                await self._fence(names)
                for tp in partitions:
                    await self._find(consumer, tp, positions)
        finally:
            await consumer.stop()
        return positions

    async def _fence(self, names: str) -> None:
        """Stop the mirror of the streams `names`, if one runs, and end its transaction."""
        producer = self._new_producer(names)
        try:
            await producer.start()
        finally:
            await _stop(producer)

    async def _find(self, consumer: AIOKafkaConsumer, tp: TopicPartition, positions: Positions) -> None:
        partition = KafkaPartition(*tp)
        consumer.assign([partition])
        begin = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        offset = max(begin, end - LOOK_BACK)
        if offset >= end:
            return
        consumer.seek(partition, offset)
        newest: dict[str, bytes] | None = None
        timestamp = 0
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOOK_SECONDS
        while await consumer.position(partition) < end:
            if loop.time() > deadline:
                raise KafkaError(f"the end of {tp.topic} partition {tp.partition} could not be read")
            for record in (await consumer.getmany(partition, timeout_ms=LOOK_WAIT_MS)).get(partition, ()):
                headers = dict(record.headers)
                if OFFSET_HEADER in headers:
                    newest, timestamp = headers, record.timestamp
        if newest is not None:
            written = Written(int(newest[OFFSET_HEADER]), timestamp, int(newest.get(NEWEST_HEADER, b"0")))
            positions.found(tp, written, newest[NAMES_HEADER].decode(), newest[ID_HEADER].decode())

    async def write(self, event: MirroredEvent, identifier: str, newest: int) -> None:
        """Write an event to its partition; waits where too much is under way.

        `identifier` is the id with which it came, `newest` the newest timestamp in its partition, in ms.
        """
        self._check()
        if event.partition >= self._partitions.get(event.topic, 0):
            named = (each.get("partition") for each in entries_of(identifier) if each["topic"] == event.topic)
            numbers = [number for number in named if isinstance(number, int)]
            await self._make(event.topic, max([event.partition, *numbers]) + 1)
        headers = [
            (OFFSET_HEADER, b"%d" % event.offset),
            (ID_HEADER, identifier.encode()),
            (NAMES_HEADER, self._names.encode()),
            (NEWEST_HEADER, b"%d" % newest),
        ]
        async with self._lock:
            try:
                if not self._is_open:
                    await self._producer.begin_transaction()
                    self._is_open = True
                    self._begun = time.time()
                sent = await self._producer.send(
                    event.topic,
                    event.value,
                    key=event.key,
                    partition=event.partition,
                    timestamp_ms=event.timestamp,
                    headers=headers,
                )
            except (
                AssertionError,
                IllegalOperation,
            ) as error:  # aiokafka's, where the transaction has failed meanwhile
                self._check()
                raise KafkaError(f"the transaction has failed: {error}") from None
            sent.add_done_callback(_look_at)
            self._writing.append(sent)
        if len(self._writing) >= IN_FLIGHT:
            await self.flush()

    def _check(self) -> None:
        """Raise why nothing can be written any more, which aiokafka says to some of its callers only."""
        if self._committing.done():
            self._committing.result()
        task = self._producer._sender.sender_task
        if task is None or task.done():
            if task is not None and not task.cancelled():
                task.result()
            raise KafkaError("the producer has ended")

    async def flush(self) -> None:
        """Wait until readers see all that has been written."""
        async with self._lock:
            if not self._is_open:
                return
            self._check()
            self._flushing_since = asyncio.get_running_loop().time()
            try:
                await self._producer.commit_transaction()
            except AssertionError as error:  # aiokafka's, where the transaction has failed meanwhile
                self._check()
                raise KafkaError(f"the transaction has failed: {error}") from None
            finally:
                self._flushing_since = None
            self._is_open = False
            writing, self._writing = self._writing, []
            for each in writing:
                each.result()  # raises what went wrong
            self._committed(len(writing))

    async def _commit_forever(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self.flush()

    async def _make(self, topic: str, partitions: int) -> None:
        """Create a topic, or give it more partitions."""
        try:
            await create_topics(self.bootstrap, {topic: partitions}, TOPIC_CONFIG | ANY_TIME, **self._client)
        except InvalidConfigurationError:
            await create_topics(self.bootstrap, {topic: partitions}, TOPIC_CONFIG, **self._client)
        admin = AIOKafkaAdminClient(**self._client)
        await admin.start()
        try:
            described = await admin.describe_topics([topic])
            count = len(described[0]["partitions"])
            if count < partitions:
                answer = await admin.create_partitions({topic: NewPartitions(partitions)})
                for _, code, message in answer.topic_errors:
                    if (error := for_code(code)) is not NoError:
                        raise error(f"topic {topic}: {message}")
                await create_topics(self.bootstrap, {topic: partitions}, **self._client)  # waits for their leaders
                count = partitions
        finally:
            await admin.close()
        self._partitions[topic] = count
        await self._producer.client.force_metadata_update()


async def _stop(producer: AIOKafkaProducer, seconds: float = STOP_SECONDS) -> None:
    """Stop a producer within `seconds`, even where Kafka does not take what it still holds: that is written again."""
    try:
        async with asyncio.timeout(seconds):
            await producer.stop()
    except (KafkaError, TimeoutError):
        # `stop` has left them open, and both wait for answers of brokers that may be silent.
        for left in (producer._sender, producer.client):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    if left is not None:
                        await left.close()
    if (waiter := producer._txn_manager.wait_for_transaction_end()) is not None:
        _look_at(waiter)
    for batches in producer._message_accumulator._batches.values():
        for batch in batches:
            _look_at(batch._drain_waiter)


def _look_at(done: asyncio.Future[Any]) -> None:
    """Look at an error: one of many is raised, and asyncio would log all that nobody has looked at."""
    if done.done() and not done.cancelled():
        done.exception()
