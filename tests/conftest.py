"""What all tests share: the one place that decides where their Kafka comes from.

EVENTSTREAMS_TEST_KAFKA=host:port names one that runs already; else it is the apache/kafka image where a Docker engine
answers; else a LocalKafka. Nothing of it is left behind. Without any, tests that need it are skipped (but not if CI is
set), and pytest's summary says why.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from docker.errors import DockerException
from hypothesis import settings
from testcontainers.core.container import DockerContainer
from xdist.scheduler import LoadFileScheduling

from streams.engine.kafka.create_topics import create_topics
from streams.local.kafka import LocalKafka, LocalKafkaError, answers
from streams.local.kafka_jars import KAFKA_VERSION, NoLocalKafkaError
from streams.local.processes import HOST, free_port
from tests.support.around import postgres as database_server
from tests.support.around.chromium import skip
from tests.support.around.postgres import Postgres
from tests.support.around.redis import RedisServer

# `make test` uses the first profile, `make test-slow` the second.
settings.register_profile("quick", max_examples=30)
settings.register_profile("thorough", max_examples=300)
settings.load_profile("quick")

KAFKA_VARIABLE = "EVENTSTREAMS_TEST_KAFKA"
CONTAINER_START_SECONDS = 60


@dataclass(frozen=True)
class TestKafka:
    """The Kafka of the test session: host:port, and whether it continues after the tests: they then tidy up."""

    __test__ = False

    bootstrap: str
    lasting: bool


SHARED = pytest.StashKey[tuple[ExitStack, TestKafka | str]]()
"""Of all processes of tests: their Kafka, or why there is none, and what ends it."""


class ByFile(LoadFileScheduling):
    """Tests of a file share what they start, so one process has them all; those of pages share a browser as well.

    Groups by marker (`--dist loadgroup`) are lost with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/browser" if file.startswith("tests/browser/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Before pytest-xdist starts a process of tests: the first one starts the Kafka that they share."""
    if SHARED not in node.config.stash:
        stack = ExitStack()
        try:
            node.config.stash[SHARED] = (stack, stack.enter_context(_kafka()))
        except NoLocalKafkaError as error:
            node.config.stash[SHARED] = (stack, str(error))
        except LocalKafkaError as error:
            pytest.exit(str(error), returncode=1)
    shared = node.config.stash[SHARED][1]
    node.workerinput["kafka"] = shared if isinstance(shared, str) else (shared.bootstrap, shared.lasting)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SHARED in config.stash:
        config.stash[SHARED][0].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Skip what needs a Kafka where none can be found; a test that starts one itself does so in a fixture."""
    try:
        yield
    except NoLocalKafkaError as error:
        skip(str(error))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[TestKafka]:
    """One Kafka for all tests; a test that breaks it takes `own_kafka` instead."""
    shared = getattr(request.config, "workerinput", {}).get("kafka")
    if isinstance(shared, str):
        skip(shared)
    elif shared:
        yield TestKafka(*shared)
    else:
        with _kafka() as kafka:
            yield kafka


@contextmanager
def _kafka() -> Iterator[TestKafka]:
    external = os.environ.get(KAFKA_VARIABLE)
    if external:
        if not answers(external):
            raise LocalKafkaError(f"{KAFKA_VARIABLE} is {external}, and no Kafka answers there")
        yield TestKafka(external, lasting=True)
    elif docker_answers():
        with kafka_container() as bootstrap:
            yield TestKafka(bootstrap, lasting=False)
    else:
        with _local({}) as local:
            yield TestKafka(local.bootstrap, lasting=False)


@pytest.fixture
def own_kafka(request: pytest.FixtureRequest) -> Iterator[LocalKafka]:
    """A LocalKafka of the test's own, to be killed, paused and restarted; its `properties` can be a parameter:
    `@pytest.mark.parametrize("own_kafka", [{"log.retention.check.interval.ms": "500"}], indirect=True)`.
    """
    yield from _own_kafka(getattr(request, "param", {}))


@pytest.fixture(scope="module")
def modules_kafka() -> Iterator[LocalKafka]:
    """A LocalKafka of a file's tests, to be written to; a test that pauses it resumes it."""
    yield from _own_kafka({})


def _own_kafka(properties: dict[str, str]) -> Iterator[LocalKafka]:
    try:
        with _local(properties) as local:
            yield local
    except LocalKafkaError as error:
        if os.environ.get(KAFKA_VARIABLE) or docker_answers():
            pytest.skip(f"this test needs a Kafka that it may kill: {error}")
        raise


@pytest.fixture
def make_topic(kafka: TestKafka) -> Iterator[Callable[..., str]]:
    """`make_topic(partitions=1, retention_ms="-1", ...)` creates a topic and returns its name, in any kind of test.

    Old timestamps are kept (retention.ms is -1) unless the test says otherwise.
    """
    made: list[str] = []

    def make(partitions: int = 1, **config: str) -> str:
        name = f"test.{uuid.uuid4().hex}"
        settings = {"retention_ms": "-1", **config}
        dotted = {key.replace("_", "."): value for key, value in settings.items()}
        _run(create_topics(kafka.bootstrap, {name: partitions}, dotted))
        made.append(name)
        return name

    yield make
    if made and kafka.lasting:
        _run(_delete_topics(kafka.bootstrap, made))


@pytest.fixture
def topic(make_topic: Callable[..., str]) -> str:
    """A new topic of one partition."""
    return make_topic()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests of a module."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """The module's Redis, empty."""
    redis_server.client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all tests; each takes its own database, and resumes what it has paused."""
    programs = database_server.find_postgres()
    if programs is None:
        skip(database_server.WANTED)
    server = Postgres(programs)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def _local(properties: dict[str, str]) -> Iterator[LocalKafka]:
    with tempfile.TemporaryDirectory(prefix="eventstreams-kafka-") as folder:
        local = LocalKafka(Path(folder), properties=properties)
        try:
            local.start()
            yield local
        finally:
            local.kill()  # its data go as well


def docker_answers() -> bool:
    """Return whether a container engine can be reached."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            engine = docker.from_env(timeout=3)
        except DockerException:
            engine = None
        gc.collect()  # without an engine the client leaves a socket open: it is closed here, where none minds
    if engine is None:
        return False
    engine.close()
    return True


@contextmanager
def kafka_container() -> Iterator[str]:
    """The apache/kafka image, at one port inside and outside, since a broker tells its clients where it is."""
    port = free_port()
    bootstrap = f"{HOST}:{port}"
    environment = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@127.0.0.1:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{bootstrap}",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
    container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(port, port)
    for name, value in environment.items():
        container.with_env(name, value)
    with container:
        deadline = time.monotonic() + CONTAINER_START_SECONDS
        while not answers(bootstrap):
            if time.monotonic() > deadline:
                said = b"".join(container.get_logs()).decode(errors="replace")[-2000:]
                raise LocalKafkaError(f"Kafka in Docker does not answer after {CONTAINER_START_SECONDS} s: {said}")
            time.sleep(0.2)
        yield bootstrap


async def _delete_topics(bootstrap: str, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    with ThreadPoolExecutor(max_workers=1) as thread:  # a second event loop: the test may have one running
        thread.submit(asyncio.run, coroutine).result()
