"""Connections to Kafka's brokers, and why there is none, as a sentence.

Not AIOKafkaClient: it makes one connection at a time, so that one broker which accepts and says nothing keeps all
others waiting, and it tells the reason of a failure only to its log. Here each address and group has a connection that
waits for nobody else's, and what any broker may answer is asked of several, one after the other, until one does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import KafkaError

from streams.core.positions import TopicPartition
from streams.engine.kafka.broker_trouble import reason_of
from streams.engine.source import Broker, SourceUnavailableError
from streams.engine.tuning import DEFAULT, Tuning

BACKOFF_SECONDS = 0.1
MAX_REASONS = 3
"""Maximum number of different reasons that one message names."""


class Group(NamedTuple):
    """One connection to each broker."""

    name: str
    number: int = 0


LOOKUP = Group("lookup")
METADATA = Group("metadata")
TAIL = Group("tail")
"""The connections of KafkaSource, besides those that read history."""


class Address(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Brokers:
    """`client` holds keyword arguments of AIOKafkaClient. All methods raise SourceUnavailableError, with the reason."""

    def __init__(self, client: Mapping[str, Any], tuning: Tuning = DEFAULT) -> None:
        self._next_seconds = tuning.next_broker_seconds
        self._configured = [Address(host, port) for host, port, _ in collect_hosts(client["bootstrap_servers"])]
        self._backoff = client.get("retry_backoff_ms", BACKOFF_SECONDS * 1000) / 1000
        self._protocol = client.get("security_protocol", "PLAINTEXT")
        self._options = {
            name: client[name]
            for name in ("client_id", "request_timeout_ms", "ssl_context", "security_protocol", "sasl_mechanism")
            if name in client
        }
        self._options |= {name: client.get(name) for name in ("sasl_plain_username", "sasl_plain_password")}
        self._options["max_idle_ms"] = client.get("connections_max_idle_ms", 540_000)
        self._addresses: dict[int, Address] = {}
        self._connections: dict[tuple[Address, Group], asyncio.Task[AIOKafkaConnection]] = {}
        self._failed: dict[Address, tuple[float, str]] = {}
        """When and why no connection could be made, by address."""
        self._proven: set[Address] = set()
        """Those that have answered a request since we are here."""
        self._last: Address | None = None
        """The broker that answered last when any would do."""

    @property
    def are_known(self) -> bool:
        """Whether Kafka has said which brokers there are."""
        return bool(self._addresses)

    def known(self, leads: Mapping[int, int], silent: Container[int]) -> list[Broker]:
        """Return the brokers that Kafka names, else those of the settings; `silent` are nodes that do not answer."""
        if not self._addresses:
            return [Broker(None, str(each), 0, self._reason(each)) for each in self._configured]
        return [
            Broker(node, str(each), leads.get(node, 0), self._reason(each) or ("no answer" if node in silent else ""))
            for node, each in sorted(self._addresses.items())
        ]

    def _reason(self, address: Address) -> str:
        return self._failed[address][1].removeprefix(f"{address}: ") if address in self._failed else ""

    def learn(self, brokers: Iterable[tuple[Any, ...]]) -> None:
        """Take over the brokers of a metadata response: node, host, port."""
        found = {node: Address(host, port) for node, host, port, *_ in brokers}
        if found:  # a broker that is just starting lists none
            self._addresses = found
            known = {*found.values(), *self._configured}
            for address, group in [key for key in self._connections if key[0] not in known]:
                self._drop(address, group)

    async def send(self, node: int, request: Any, group: Group, seconds: float) -> Any:
        """Ask one broker, by its id."""
        address = self._addresses.get(node)
        if address is None:
            raise SourceUnavailableError(f"broker {node} is not among those that Kafka names")
        try:
            async with asyncio.timeout(seconds):
                return await self._send_to(address, request, group)
        except TimeoutError:
            self._drop(address, group)
            raise SourceUnavailableError(self._silence(address, seconds)) from None

    async def ask_any(self, request: Any, group: Group, seconds: float, *, configured: bool) -> Any:
        """Ask the brokers that Kafka names until one answers; then, if `configured`, also those of the settings."""
        left = self._candidates(configured)
        asked: dict[asyncio.Task[Any], Address] = {}
        reasons: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                while left or asked:
                    if left:
                        address = left.pop(0)
                        task = asyncio.ensure_future(self._send_to(address, request, group))
                        task.add_done_callback(_looked_at)
                        asked[task] = address
                    timeout = self._next_seconds if left else None
                    done, _ = await asyncio.wait(asked, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        address = asked.pop(task)
                        try:
                            response = task.result()
                        except SourceUnavailableError as error:
                            reasons.append(str(error))
                            continue
                        self._last = address
                        return response
        except TimeoutError:
            for address in asked.values():
                self._drop(address, group)
                reasons.append(self._silence(address, seconds))
        finally:
            for task in asked:
                task.cancel()
        raise SourceUnavailableError("; ".join(sorted(set(reasons))[:MAX_REASONS]) or "no broker is known")

    async def close(self) -> None:
        """Close all connections."""
        for task in self._connections.values():
            task.cancel()
        results = await asyncio.gather(*self._connections.values(), return_exceptions=True)
        self._connections.clear()
        closing = [made.close() for made in results if isinstance(made, AIOKafkaConnection)]
        await asyncio.gather(*(each for each in closing if each is not None))

    def _candidates(self, configured: bool) -> list[Address]:
        named = list(self._addresses.values())
        random.shuffle(named)
        if self._last in named:
            named.insert(0, self._last)
        return list(dict.fromkeys([*named, *(self._configured if configured else ())]))

    async def _send_to(self, address: Address, request: Any, group: Group) -> Any:
        connection = await self._connection(address, group)
        try:
            response = await connection.send(request)
        except (KafkaError, OSError) as error:
            self._drop(address, group)
            raise SourceUnavailableError(self._why(address, error)) from error
        self._proven.add(address)
        return response

    async def _connection(self, address: Address, group: Group) -> AIOKafkaConnection:
        task = self._connections.get((address, group))
        if task is None or not _is_of_use(task):
            failed_at, why = self._failed.get(address, (float("-inf"), ""))
            if time.monotonic() < failed_at + self._backoff:
                raise SourceUnavailableError(why)
            task = self._connections[address, group] = asyncio.ensure_future(self._connect(address))
            task.add_done_callback(_looked_at)
        elif task.done():
            return task.result()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # not we are
                raise SourceUnavailableError("the connections to Kafka are closed") from None
            raise

    async def _connect(self, address: Address) -> AIOKafkaConnection:
        try:
            made: AIOKafkaConnection = await create_conn(*address, **self._options)
        except Exception as error:  # of any kind: something else than Kafka may be listening there
            why = self._why(address, error)
            self._failed[address] = time.monotonic(), why
            raise SourceUnavailableError(why) from error
        self._failed.pop(address, None)
        return made

    def _drop(self, address: Address, group: Group) -> None:
        """Close a connection, so that the next request gets another one; one that is being made has its own time."""
        task = self._connections.get((address, group))
        if task is not None and task.done():
            del self._connections[address, group]
            if not task.cancelled() and task.exception() is None:
                task.result().close()

    def _why(self, address: Address, error: BaseException) -> str:
        return f"{self._named(address)}: {reason_of(error, self._protocol, address in self._proven)}"

    def _silence(self, address: Address, seconds: float) -> str:
        return f"{self._named(address)}: no answer within {seconds:g} s"

    def _named(self, address: Address) -> str:
        return str(address) if address in self._configured else f"{address}, as Kafka advertises it"


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Perhaps nobody waits for it any more: its failure is not to be logged by asyncio."""
    if not task.cancelled():
        task.exception()


def _is_of_use(task: asyncio.Task[AIOKafkaConnection]) -> bool:
    if not task.done():
        return True
    return not task.cancelled() and task.exception() is None and bool(task.result().connected())


def by_topic(items: Mapping[TopicPartition, tuple[Any, ...]]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Return the values of partitions by topic, as requests to Kafka have them, each after its partition."""
    grouped: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for tp, values in items.items():
        grouped[tp.topic].append((tp.partition, *values))
    return list(grouped.items())
