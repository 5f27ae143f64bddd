"""librdkafka's names, translated to aiokafka's."""

from __future__ import annotations

import inspect
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient

from streams.engine.kafka.options import KafkaOptions, kafka_options
from tests.support.around.certificates import self_signed


def options(**settings: Any) -> KafkaOptions:
    """Options of settings whose dots are written as underscores, and with a broker, so that nothing is assumed."""
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return kafka_options({"metadata.broker.list": "kafka:9092", **named})


def refusal(settings: dict[str, object]) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        kafka_options({"metadata.broker.list": "kafka:9092", **settings})
    return str(caught.value)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate (cert.pem), its key (key.pem), and the key encrypted with ``s3cr3t`` (locked.pem)."""
    folder = tmp_path_factory.mktemp("pem")
    for name, text in zip(("cert", "key", "locked"), self_signed("localhost", password="s3cr3t"), strict=True):
        (folder / f"{name}.pem").write_text(text)
    return folder


def test_a_broker_alone_gives_the_defaults() -> None:
    assert options() == KafkaOptions(
        client={
            "bootstrap_servers": "kafka:9092",
            "client_id": "eventstreams",
            "request_timeout_ms": 10_500,
            "security_protocol": "PLAINTEXT",
        },
        fetch_max_wait_ms=500,
        fetch_min_bytes=1,
        fetch_max_bytes=50 * 1024 * 1024,
        max_partition_fetch_bytes=1024 * 1024,
        isolation_level="read_committed",
        check_crcs=True,
        warnings=(),
    )


def test_without_a_broker_localhost_is_assumed_and_said() -> None:
    assumed = kafka_options({})
    assert assumed.client["bootstrap_servers"] == "localhost:9092"
    assert assumed.warnings == ("kafka: metadata.broker.list is not set: localhost:9092 is assumed",)


def test_every_connection_setting_reaches_its_counterpart() -> None:
    translated = options(
        client_id="me",
        socket_timeout_ms=5000,
        fetch_wait_max_ms=100,
        retry_backoff_ms=200,
        connections_max_idle_ms="60000",
    )
    assert translated.client == {
        "bootstrap_servers": "kafka:9092",
        "client_id": "me",
        "request_timeout_ms": 5100,  # librdkafka adds the wait of a fetch to its limit
        "retry_backoff_ms": 200,
        "connections_max_idle_ms": 60_000,
        "security_protocol": "PLAINTEXT",
    }
    assert translated.warnings == ()


def test_every_fetch_setting_reaches_its_counterpart() -> None:
    translated = options(
        fetch_wait_max_ms=10,
        fetch_min_bytes="2",
        fetch_max_bytes=5000,
        fetch_message_max_bytes=4000,
        isolation_level="READ_UNCOMMITTED",
        check_crcs="false",
    )
    assert (translated.fetch_max_wait_ms, translated.fetch_min_bytes, translated.fetch_max_bytes) == (10, 2, 5000)
    assert (translated.max_partition_fetch_bytes, translated.isolation_level) == (4000, "read_uncommitted")
    assert (translated.check_crcs, translated.warnings) == (False, ())


async def test_aiokafka_takes_the_keyword_arguments_with_every_security_protocol() -> None:
    sasl = {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "u", "sasl.password": "p"}
    for protocol in ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"):
        settings = {"security.protocol": protocol, "socket.timeout.ms": 1000, "retry.backoff.ms": 10, "client.id": "x"}
        translated = kafka_options({**settings, **(sasl if protocol.startswith("sasl") else {})})
        await AIOKafkaClient(**translated.client).close()
    accepted = inspect.signature(AIOKafkaConsumer.__init__).parameters
    assert {*translated.client, *KafkaOptions.__slots__} - {"client", "warnings"} <= accepted.keys()


@pytest.mark.parametrize(
    ("name", "alias", "value"),
    [
        ("metadata.broker.list", "bootstrap.servers", "b:1"),
        ("fetch.message.max.bytes", "max.partition.fetch.bytes", 5000),
    ],
)
def test_an_alias_means_the_same_as_the_name(name: str, alias: str, value: object) -> None:
    brokers = {} if name == "metadata.broker.list" else {"metadata.broker.list": "kafka"}
    by_alias = kafka_options({**brokers, alias: value})
    assert by_alias == kafka_options({**brokers, name: value})
    assert by_alias == kafka_options({**brokers, name: value, alias: value})
    assert by_alias.warnings == ()


def test_two_names_of_one_setting_with_different_values_are_refused() -> None:
    assert "metadata.broker.list and bootstrap.servers" in refusal({"bootstrap.servers": "other:9092"})


@pytest.mark.parametrize(
    ("better", "other", "counterpart"),
    [
        ("retry.backoff.ms", "reconnect.backoff.ms", "retry_backoff_ms"),
    ],
)
def test_of_two_settings_with_one_counterpart_the_nearer_one_counts_and_the_other_is_named(
    better: str, other: str, counterpart: str
) -> None:
    brokers = {"metadata.broker.list": "kafka"}
    assert kafka_options({**brokers, other: 500}).client[counterpart] == 500
    both = kafka_options({**brokers, other: 500, better: 700})
    assert both.client[counterpart] == 700
    (warning,) = both.warnings
    assert warning.startswith(f"kafka: {other} has no effect")


def test_zero_switches_the_idle_check_off_as_in_librdkafka() -> None:
    assert options(connections_max_idle_ms=0).client["connections_max_idle_ms"] is None


def test_no_backoff_at_all_still_waits_a_little() -> None:
    assert options(reconnect_backoff_ms=0).client["retry_backoff_ms"] == 1


@pytest.mark.parametrize("brokers", ["a", "a:1", "a:1,b:2 , c", "10.0.0.1:9092", "[::1]:9092", "[fe80::1]"])
def test_lists_of_brokers_are_accepted(brokers: str) -> None:
    assert kafka_options({"metadata.broker.list": brokers}).client["bootstrap_servers"] == brokers.replace(" ", "")


@pytest.mark.parametrize(
    "brokers", ["", ",", "a:", "a:0", "a:65536", "a:b", "a;b", "PLAINTEXT://a:1", "::1", 9092, ["a"], True]
)
def test_what_is_no_list_of_brokers_is_refused(brokers: object) -> None:
    message = refusal({"metadata.broker.list": brokers})
    assert message.startswith(f"metadata.broker.list: {brokers!r}: expected ")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("fetch.wait.max.ms", -1, "an integer from 10 to 5000"),
        ("fetch.wait.max.ms", 0, "an integer from 10 to 5000 (ms that Kafka waits for news;"),
        ("fetch.wait.max.ms", 300_000, "an integer from 10 to 5000"),
        ("fetch.min.bytes", 0, "an integer from 1"),
        ("fetch.min.bytes", 60_000_000, "at most what one fetch may hold, which is 52428800 bytes"),
        ("fetch.max.bytes", 0, "an integer from 1024"),
        ("fetch.max.bytes", 1 << 40, "an integer from 1024"),
        ("max.partition.fetch.bytes", 1, "an integer from 1024"),
        ("retry.backoff.ms", 3_600_000, "an integer from 0 to 10000 (ms before a broker is tried again;"),
        ("connections.max.idle.ms", 1, "0 (never), or at least 10000 ms"),
        ("fetch.min.bytes", True, "an integer"),
        ("fetch.max.bytes", 1.5, "an integer"),
        ("fetch.message.max.bytes", "10 MB", "an integer"),
        ("socket.timeout.ms", 0, "an integer from 1000"),
        ("socket.timeout.ms", 10, "an integer from 1000"),
        ("connections.max.idle.ms", "٣", "an integer"),
        ("check.crcs", 1, "true or false"),
        ("isolation.level", "committed", "one of read_committed, read_uncommitted"),
        ("security.protocol", "tls", "one of plaintext, ssl, sasl_plaintext, sasl_ssl"),
        ("client.id", 5, "text"),
    ],
)
def test_a_wrong_value_is_refused_by_name_value_and_expectation(name: str, value: object, expected: str) -> None:
    message = refusal({name: value})
    assert message.startswith(f"{name}: {value!r}: expected {expected}")


def test_a_fetch_may_take_as_long_as_kafka_waits_and_a_request_may_take() -> None:
    """With one limit for both, a quiet fetch would end with a failure each time."""
    for wait in (10, 500, 5_000):
        assert options(fetch_wait_max_ms=wait).client["request_timeout_ms"] == 10_000 + wait
        assert options(fetch_wait_max_ms=wait, socket_timeout_ms=1000).client["request_timeout_ms"] == 1_000 + wait


def test_of_the_two_sizes_of_a_fetch_the_one_that_is_not_given_follows_the_other() -> None:
    larger = options(fetch_message_max_bytes=100_000_000)
    assert (larger.max_partition_fetch_bytes, larger.fetch_max_bytes) == (100_000_000, 100_000_000)
    smaller = options(fetch_max_bytes=5_000)
    assert (smaller.max_partition_fetch_bytes, smaller.fetch_max_bytes) == (5_000, 5_000)
    message = refusal({"fetch.max.bytes": 5_000, "fetch.message.max.bytes": 6_000})
    assert message.startswith("fetch.message.max.bytes: 6000: expected at most fetch.max.bytes, which is 5000")


def test_tls_settings_that_contradict_each_other_are_named() -> None:
    unchecked = options(security_protocol="ssl", enable_ssl_certificate_verification=False, ssl_ca_location="probe")
    assert "ssl.ca.location has no effect: enable.ssl.certificate.verification is false" in unchecked.warnings[0]
    (warning,) = options(security_protocol="ssl", ssl_key_password="48151").warnings
    assert warning == "kafka: ssl.key.password has no effect: ssl.key.location is not given"


def test_a_null_counts_as_not_given() -> None:
    assert options(client_id=None, group_id=None, fetch_min_bytes=None) == options()


# What has no counterpart


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("queued.max.messages.kbytes", "ring_bytes"),
        ("queued.min.messages", "ring_bytes"),
        ("statistics.interval.ms", "/metrics"),
        ("request.timeout.ms", "socket.timeout.ms"),
        ("metadata.max.age.ms", "every 10 seconds"),
        ("topic.metadata.refresh.interval.ms", "every 10 seconds"),
        ("group.id", "no consumer group"),
        ("enable.auto.commit", "no consumer group"),
        ("auto.offset.reset", "no consumer group"),
        ("ssl.crl.location", "no counterpart"),
        ("no.such.setting", "no counterpart"),
        ("ssl.ca.location", "security.protocol is plaintext"),
        ("sasl.username", "security.protocol is plaintext"),
    ],
)
def test_a_setting_without_effect_is_named_in_one_warning(name: str, word: str) -> None:
    (warning,) = kafka_options({"metadata.broker.list": "kafka", name: "1"}).warnings
    assert warning.startswith(f"kafka: {name} has no effect")
    assert word in warning


# TLS and SASL


def sasl(**more: object) -> dict[str, object]:
    named = {name.replace("_", "."): value for name, value in more.items()}
    return {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": "s3cr3t",
        **named,
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "scram-sha-512"])
def test_sasl_reaches_its_counterparts(mechanism: str) -> None:
    client = kafka_options(sasl(sasl_mechanism=mechanism)).client
    assert client["security_protocol"] == "SASL_PLAINTEXT"
    assert client["sasl_mechanism"] == mechanism.upper()
    assert (client["sasl_plain_username"], client["sasl_plain_password"]) == ("u", "s3cr3t")


@pytest.mark.parametrize("mechanism", ["GSSAPI", "OAUTHBEARER", "MD5"])
def test_a_mechanism_that_cannot_work_is_refused(mechanism: str) -> None:
    assert "expected one of plain, scram-sha-256, scram-sha-512" in refusal(sasl(sasl_mechanism=mechanism))


@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.username", "sasl.password"])
def test_a_part_of_sasl_that_is_missing_is_named(name: str) -> None:
    assert refusal({**sasl(), name: None}).startswith(f"{name} is missing")


def test_a_password_appears_neither_in_a_message_nor_in_the_repr() -> None:
    assert "48151" not in refusal(sasl(sasl_password=48151))
    assert "s3cr3t" not in repr(kafka_options(sasl()))


def test_tls_checks_certificate_and_host_name_by_default() -> None:
    context = options(security_protocol="ssl", ssl_ca_location="probe").client["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_check_of_the_host_name_alone_can_be_switched_off() -> None:
    context = options(security_protocol="ssl", ssl_endpoint_identification_algorithm="none").client["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_the_check_of_the_certificate_can_be_switched_off() -> None:
    context = options(security_protocol="sasl_ssl", enable_ssl_certificate_verification=False, **{
        "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p"
    }).client["ssl_context"]  # fmt: skip
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_an_authority_is_read_from_a_file_or_a_folder(pem: Path) -> None:
    from_file = options(security_protocol="ssl", ssl_ca_location=str(pem / "cert.pem")).client["ssl_context"]
    assert [dict(part[0] for part in ca["subject"]) for ca in from_file.get_ca_certs()] == [{"commonName": "localhost"}]
    from_folder = options(security_protocol="ssl", ssl_ca_location=str(pem)).client["ssl_context"]
    assert from_folder.get_ca_certs() == []  # those of a folder are looked up at the handshake


@pytest.mark.parametrize(("key", "password"), [("key.pem", None), ("key.pem", "idle"), ("locked.pem", "s3cr3t")])
def test_a_client_certificate_is_read_with_its_key(pem: Path, key: str, password: str | None) -> None:
    translated = options(
        security_protocol="ssl",
        ssl_certificate_location=str(pem / "cert.pem"),
        ssl_key_location=str(pem / key),
        ssl_key_password=password,
    )
    assert isinstance(translated.client["ssl_context"], ssl.SSLContext)
    assert translated.warnings == ()


@pytest.mark.parametrize(
    ("certificate", "key", "password"),
    [
        ("absent.pem", "key.pem", None),
        ("cert.pem", "absent.pem", None),
        ("cert.pem", None, None),
        ("cert.pem", "cert.pem", None),
        ("cert.pem", "locked.pem", "48151"),
        ("cert.pem", "locked.pem", None),
        (None, "key.pem", None),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_by_setting_and_without_the_password(
    pem: Path, certificate: str | None, key: str | None, password: str | None
) -> None:
    message = refusal(
        {
            "security.protocol": "ssl",
            "ssl.certificate.location": certificate and str(pem / certificate),
            "ssl.key.location": key and str(pem / key),
            "ssl.key.password": password,
        }
    )
    assert message.startswith("ssl.certificate.location")
    assert "48151" not in message


def test_an_authority_that_cannot_be_read_is_refused_by_setting(pem: Path) -> None:
    for path in (pem / "absent.pem", pem / "key.pem"):
        message = refusal({"security.protocol": "ssl", "ssl.ca.location": str(path)})
        assert message.startswith(f"ssl.ca.location: '{path}': expected a readable PEM file or folder (")
