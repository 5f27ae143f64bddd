"""From librdkafka's setting names, which the old service's configuration uses, to aiokafka's.

Names, aliases, ranges and defaults: librdkafka's CONFIGURATION.md. Where one of ours differs, a comment says so.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.helpers import create_ssl_context

DEFAULT_BROKERS = "localhost:9092"
IN_MEMORY = "memory"
"""In place of brokers: there is no Kafka, the events are in the memory of the process (`engine/memory.py`)."""
DEFAULT_CLIENT_ID = "eventstreams"
MIN_IDLE_MS = 10_000
"""Minimum time that an idle connection is kept, in ms: with less, each look-up would make a new one."""
MIN_FETCH_BYTES = 1024
REQUEST_SECONDS = 10.0
"""Seconds that a request to Kafka may take, beside the time that Kafka is asked to wait for news."""

SECRETS = frozenset({"sasl.password", "ssl.key.password"})
"""Settings whose values never appear in a message."""

_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
# GSSAPI wants a C library and OAUTHBEARER a token provider in code: a configuration file alone provides neither.
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_SSL_NAMES = (
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
)
_SASL_NAMES = ("sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password")

_GROUP_NAMES = frozenset(
    {
        "auto.commit.enable",
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "coordinator.query.interval.ms",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.protocol.type",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "offset.store.method",
        "offset.store.path",
        "offset.store.sync.interval.ms",
        "partition.assignment.strategy",
        "session.timeout.ms",
    }
)
_GROUP_SENTENCE = "has no effect: no consumer group is used, each client says itself from where it reads"
_METADATA_SENTENCE = "has no effect: topics, partitions and their leaders are looked up every 10 seconds"
_QUEUE_SENTENCE = (
    "has no effect: the Kafka client keeps no queue of that kind; `ring_bytes` bounds the events held in memory"
)
_SENTENCES = {
    "client.rack": "has no effect: records are read from the leader of each partition",
    "fetch.queue.backoff.ms": _QUEUE_SENTENCE,
    "metadata.max.age.ms": _METADATA_SENTENCE,
    "queued.max.messages.kbytes": _QUEUE_SENTENCE,
    "queued.min.messages": _QUEUE_SENTENCE,
    "request.timeout.ms": "has no effect: it is a producer's; the time limit of our requests is `socket.timeout.ms`",
    "topic.metadata.refresh.interval.ms": _METADATA_SENTENCE,
    "statistics.interval.ms": "has no effect: statistics are not pushed, they are read at /metrics at any time",
}
_UNKNOWN_SENTENCE = "has no effect: the Kafka client used here (aiokafka) has no counterpart of it"


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """What the engine needs to know to talk to Kafka.

    `client` holds keyword arguments of `aiokafka.client.AIOKafkaClient` (a consumer takes the same ones); it may hold a
    password, so it is left out of the repr. Times are in ms, sizes in bytes. `warnings` has one sentence for each
    setting that was given and has no effect.
    """

    client: Mapping[str, Any] = field(repr=False)
    fetch_max_wait_ms: int
    fetch_min_bytes: int
    fetch_max_bytes: int
    max_partition_fetch_bytes: int
    isolation_level: str
    check_crcs: bool
    warnings: tuple[str, ...]

    @property
    def is_memory(self) -> bool:
        """Whether there is no Kafka, and events are kept in memory."""
        return bool(self.client["bootstrap_servers"] == IN_MEMORY)


def kafka_options(settings: Mapping[str, object]) -> KafkaOptions:
    """Translate librdkafka's settings; a setting that is null counts as not given.

    Files of certificates and keys are read here, so that a mistake shows at start.

    Raises ValueError, naming setting, value (but never a password) and what was expected.
    """
    return _Translation(settings).options()


class _Translation:
    """One pass over the settings: what was read is remembered, the rest becomes warnings."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._given = {name: value for name, value in settings.items() if value is not None}
        self._read: set[str] = set()
        self._warnings: list[str] = []

    def options(self) -> KafkaOptions:
        # By default librdkafka's 500 ms: a partition newly watched waits for the fetch in flight to end. Without any
        # wait, every round trip would be a request; for the upper end see the sentence.
        fetch_max_wait_ms = self._integer(
            "fetch.wait.max.ms", 10, 5_000, 500, "ms that Kafka waits for news; a new stream may wait as long"
        )
        client = self._connection(fetch_max_wait_ms) | self._security()
        fetch_min_bytes = self._integer("fetch.min.bytes", 1, 100_000_000, 1)
        fetch_max_bytes, max_partition_fetch_bytes = self._fetch_bytes()
        if fetch_min_bytes > fetch_max_bytes:
            raise self._wrong("fetch.min.bytes", f"at most what one fetch may hold, which is {fetch_max_bytes} bytes")
        isolation_level = self._choice("isolation.level", ("read_committed", "read_uncommitted"), "read_committed")
        # librdkafka does not check by default; it costs little, and a damaged batch must not reach clients.
        check_crcs = self._boolean("check.crcs", True)
        self._warn_of_the_rest()  # last: by now everything that has a counterpart has been read
        return KafkaOptions(
            client=client,
            fetch_max_wait_ms=fetch_max_wait_ms,
            fetch_min_bytes=fetch_min_bytes,
            fetch_max_bytes=fetch_max_bytes,
            max_partition_fetch_bytes=max_partition_fetch_bytes,
            isolation_level=isolation_level,
            check_crcs=check_crcs,
            warnings=tuple(self._warnings),
        )

    def _connection(self, fetch_max_wait_ms: int) -> dict[str, Any]:
        client: dict[str, Any] = {
            "bootstrap_servers": self._brokers(),
            "client_id": self._text("client.id") or DEFAULT_CLIENT_ID,
        }
        # librdkafka adds the wait to the limit of a fetch; aiokafka has one limit for all requests.
        seconds = "ms of a request; less, and a busy broker looks like one that is away"
        timeout = self._integer("socket.timeout.ms", 1_000, 300_000, int(REQUEST_SECONDS * 1000), seconds)
        client["request_timeout_ms"] = timeout + fetch_max_wait_ms
        backoff = self._preferred("retry.backoff.ms", "reconnect.backoff.ms")
        if backoff is not None:
            # None at all would spin while a broker is away.
            pause = "ms before a broker is tried again; streams lack its events for as long after an outage"
            client["retry_backoff_ms"] = max(1, self._integer(backoff, 0, 10_000, 100, pause))
        if "connections.max.idle.ms" in self._given:
            # librdkafka switches idle checks off with 0, aiokafka with None.
            idle = self._integer("connections.max.idle.ms", 0, 2_147_483_647, 0)
            if 0 < idle < MIN_IDLE_MS:
                raise self._wrong("connections.max.idle.ms", f"0 (never), or at least {MIN_IDLE_MS} ms")
            client["connections_max_idle_ms"] = idle or None
        return client

    def _fetch_bytes(self) -> tuple[int, int]:
        """Bytes of one fetch, and of one partition in it. Where only one is given, the other one follows it."""
        name = self._alias("fetch.message.max.bytes", "max.partition.fetch.bytes")
        at_least = "a smaller one could not hold an ordinary batch"
        of_all = self._integer("fetch.max.bytes", MIN_FETCH_BYTES, 2_147_483_135, 50 * 1024 * 1024, at_least)
        of_each = self._integer(name, MIN_FETCH_BYTES, 1_000_000_000, 1024 * 1024, at_least)
        if of_each > of_all:
            if "fetch.max.bytes" not in self._given:
                of_all = of_each
            elif name in self._given:
                raise self._wrong(name, f"at most fetch.max.bytes, which is {of_all}; raise that, or lower this one")
            else:
                of_each = of_all
        return of_all, of_each

    def _brokers(self) -> str:
        name = self._alias("metadata.broker.list", "bootstrap.servers")
        text = self._text(name)
        if text is None:
            self._warnings.append(f"kafka: {name} is not set: {DEFAULT_BROKERS} is assumed")
            return DEFAULT_BROKERS
        brokers = [broker.strip() for broker in text.split(",")]
        for broker in brokers:
            match = _BROKER.fullmatch(broker)
            if match is None or (match["port"] is not None and not 0 < int(match["port"]) < 65_536):
                raise self._wrong(name, "brokers as host or host:port, separated by commas")
        return ",".join(brokers)

    def _security(self) -> dict[str, Any]:
        protocol = self._choice("security.protocol", _PROTOCOLS, "PLAINTEXT")
        client: dict[str, Any] = {"security_protocol": protocol}
        if protocol.endswith("SSL"):
            client["ssl_context"] = self._ssl_context()
        else:
            self._unused(_SSL_NAMES, protocol)
        if protocol.startswith("SASL"):
            client |= self._sasl(protocol)
        else:
            self._unused(_SASL_NAMES, protocol)
        return client

    def _sasl(self, protocol: str) -> dict[str, Any]:
        name = self._alias("sasl.mechanism", "sasl.mechanisms")
        for required in (name, "sasl.username", "sasl.password"):
            if required not in self._given:
                raise ValueError(f"{required} is missing: security.protocol {protocol.lower()} needs it")
        return {
            "sasl_mechanism": self._choice(name, _MECHANISMS, ""),
            "sasl_plain_username": self._text("sasl.username"),
            "sasl_plain_password": self._text("sasl.password"),
        }

    def _ssl_context(self) -> ssl.SSLContext:
        ca = self._text("ssl.ca.location")
        if ca == "probe":  # librdkafka's word for the system's own certificates
            ca = None
        try:
            place = "capath" if ca is not None and Path(ca).is_dir() else "cafile"
            context: ssl.SSLContext = create_ssl_context(**{place: ca})
        except OSError as error:
            raise self._wrong("ssl.ca.location", f"a readable PEM file or folder ({_reason(error)})") from None
        self._load_certificate(context)
        if self._choice("ssl.endpoint.identification.algorithm", ("https", "none"), "https") == "none":
            context.check_hostname = False
        if not self._boolean("enable.ssl.certificate.verification", True):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            for name in ("ssl.ca.location", "ssl.endpoint.identification.algorithm"):
                if name in self._given:
                    self._warnings.append(f"kafka: {name} has no effect: enable.ssl.certificate.verification is false")
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        certificate = self._text("ssl.certificate.location")
        key = self._text("ssl.key.location")
        password = self._text("ssl.key.password")
        if certificate is None:
            if key is not None:
                raise ValueError("ssl.certificate.location is missing: ssl.key.location needs it")
            if password is not None:
                self._warnings.append("kafka: ssl.key.password has no effect: ssl.key.location is not given")
            return
        try:
            # An empty password is given where there is none: OpenSSL would ask at the terminal, and wait.
            context.load_cert_chain(certificate, key, password or "")
        except (OSError, ValueError) as error:
            files = certificate if key is None else f"{certificate} and {key}"
            raise ValueError(
                f"ssl.certificate.location, ssl.key.location: {files}: expected a readable certificate and its key, "
                f"with ssl.key.password if the key is encrypted ({_reason(error)})"
            ) from None

    def _alias(self, name: str, other: str) -> str:
        """Which of two names of one setting was given; both are refused if they differ."""
        if name in self._given and other in self._given:
            if self._given[name] != self._given[other]:
                raise ValueError(f"{name} and {other} are one setting, given with two different values; leave one out")
            self._read.add(other)
        return other if name not in self._given and other in self._given else name

    def _preferred(self, name: str, other: str) -> str | None:
        """Which of two settings with one counterpart counts; None if neither was given."""
        if name in self._given and other in self._given:
            self._read.add(other)
            self._warnings.append(
                f"kafka: {other} has no effect: {name} is given, and the Kafka client has one setting for both"
            )
        return next((candidate for candidate in (name, other) if candidate in self._given), None)

    def _text(self, name: str) -> str | None:
        self._read.add(name)
        value = self._given.get(name)
        if value is None or (isinstance(value, str) and value):
            return value
        raise self._wrong(name, "text that is not empty; quote it if it looks like a number or a date")

    def _integer(self, name: str, lowest: int, highest: int, default: int, meaning: str = "") -> int:
        self._read.add(name)
        value = self._given.get(name, default)
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            why = f" ({meaning}); leave it out for {default}" if meaning else ""
            raise self._wrong(name, f"an integer from {lowest} to {highest}{why}")
        return value

    def _boolean(self, name: str, default: bool) -> bool:
        self._read.add(name)
        value = self._given.get(name, default)
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower(), value)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def _choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of `choices` in any letter case, as `choices` spells it."""
        self._read.add(name)
        value = self._given.get(name, default)
        for choice in choices:
            if isinstance(value, str) and value.lower() == choice.lower():
                return choice
        raise self._wrong(name, f"one of {', '.join(choice.lower() for choice in choices)}")

    def _wrong(self, name: str, expected: str) -> ValueError:
        value = "(not shown)" if name in SECRETS else repr(self._given.get(name))
        return ValueError(f"{name}: {value}: expected {expected}")

    def _unused(self, names: tuple[str, ...], protocol: str) -> None:
        for name in names:
            if name in self._given:
                self._read.add(name)
                self._warnings.append(f"kafka: {name} has no effect: security.protocol is {protocol.lower()}")

    def _warn_of_the_rest(self) -> None:
        for name in self._given:
            if name not in self._read:
                sentence = _GROUP_SENTENCE if name in _GROUP_NAMES else _SENTENCES.get(name, _UNKNOWN_SENTENCE)
                self._warnings.append(f"kafka: {name} {sentence}")


def _reason(error: Exception) -> str:
    """The cause in a few words; of OpenSSL's texts only the first line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or type(error).__name__
