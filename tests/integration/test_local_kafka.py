"""The local Kafka keeps its data through a crash, and the demo fills in only what is missing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.engine.kafka.create_topics import create_topics
from streams.local.demo import DemoPlan, run_demo
from streams.local.demo.streams import RECENTCHANGE, TOPICS
from streams.local.kafka import LocalKafka, LocalKafkaError, answers
from streams.local.kafka_jars import find_java, java_version, maven_error
from streams.local.processes import HOST, free_port, port_is_free, spawn, terminate
from tests.conftest import TestKafka

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tools() -> None:
    """What a local Kafka is made of; the test is skipped where it cannot be found."""
    find_java()
    LocalKafka(Path("unused")).install()


async def count(bootstrap: str, *topics: str) -> int:
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        return sum((await consumer.end_offsets(consumer.assignment())).values())
    finally:
        await consumer.stop()


async def produce(bootstrap: str, topic: str, records: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, compression_type="snappy") as producer:
        for number in range(records):
            await producer.send_and_wait(topic, b"%d" % number)


@pytest.mark.slow
async def test_records_outlive_a_kill_and_a_restart_at_the_same_address(own_kafka: LocalKafka) -> None:
    bootstrap = own_kafka.bootstrap
    await create_topics(bootstrap, {"kept": 1})
    await produce(bootstrap, "kept", 10)
    own_kafka.kill()
    assert not answers(bootstrap)
    await asyncio.to_thread(own_kafka.start)
    assert own_kafka.bootstrap == bootstrap
    assert await count(bootstrap, "kept") == 10
    await produce(bootstrap, "kept", 5)
    await asyncio.to_thread(own_kafka.restart)
    assert await count(bootstrap, "kept") == 15


@pytest.mark.slow
async def test_a_paused_kafka_is_silent_and_goes_on_when_resumed(own_kafka: LocalKafka) -> None:
    await create_topics(own_kafka.bootstrap, {"paused": 1})
    own_kafka.pause()
    assert own_kafka.running
    async with asyncio.timeout(10):  # the signal takes effect a moment later
        while answers(own_kafka.bootstrap, timeout=0.5):
            await asyncio.sleep(0.1)
    own_kafka.resume()
    await asyncio.to_thread(own_kafka.wait_ready, 20.0)
    await produce(own_kafka.bootstrap, "paused", 1)
    assert await count(own_kafka.bootstrap, "paused") == 1


@pytest.mark.slow
async def test_a_second_backfill_writes_only_what_is_missing(own_kafka: LocalKafka) -> None:
    client = {"bootstrap_servers": own_kafka.bootstrap}
    said: list[str] = []
    now = time.time()

    async def fill(at: float) -> int:
        plan = DemoPlan(rate=20, backfill=600, seed=1, live=False)
        return await run_demo(client, plan, report=said.append, clock=lambda: at)

    async def changes() -> int:
        return await count(own_kafka.bootstrap, *(topic for topic in TOPICS if topic.endswith(RECENTCHANGE)))

    first = await fill(now)
    assert await changes() == pytest.approx(600 * 20, rel=0.01)
    assert await count(own_kafka.bootstrap, *TOPICS) == first
    assert await fill(now) <= 8
    assert await fill(now + 60) == pytest.approx(first / 10, rel=0.1)
    assert await changes() == pytest.approx(660 * 20, rel=0.01)
    assert any("after the existing events" in line for line in said)


async def test_topics_that_exist_are_left_as_they_are(kafka: TestKafka, topic: str) -> None:
    await produce(kafka.bootstrap, topic, 1)
    await create_topics(kafka.bootstrap, {topic: 3})
    assert await count(kafka.bootstrap, topic) == 1
    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka.bootstrap) as consumer:
        assert len(consumer.assignment()) == 1


@pytest.mark.slow
def test_a_kafka_dies_with_the_process_that_started_it(own_kafka: LocalKafka) -> None:
    own_kafka.stop()
    code = (
        "import sys; from pathlib import Path; from streams.local.kafka import LocalKafka\n"
        "LocalKafka(Path(sys.argv[1]), port=int(sys.argv[2])).start(); print('up', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(own_kafka.folder), str(own_kafka.port)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        assert answers(own_kafka.bootstrap)
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while not port_is_free(own_kafka.port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert port_is_free(own_kafka.port)


def test_a_child_is_ended_with_what_it_has_started_itself(tmp_path: Path) -> None:
    log = tmp_path / "log"
    starts = "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    starts += "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    starts += "print(child.pid, flush=True); child.wait()"
    child = spawn([sys.executable, "-c", starts], log)  # no shell: some machines have Python alone
    deadline = time.monotonic() + 20
    while not log.read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.02)
    grandchild = int(log.read_text())
    terminate(child, 0.2)
    assert child.returncode == -signal.SIGKILL
    while time.monotonic() < deadline and _runs(grandchild):
        time.sleep(0.02)
    assert not _runs(grandchild)


def _runs(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # one that its new parent has not yet buried


def test_a_port_that_is_taken_is_said_before_anything_starts(tools: None, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        kafka = LocalKafka(tmp_path / "kafka", port=port)
        with pytest.raises(LocalKafkaError, match=rf"Port {port} on {HOST} is in use: stop what listens there"):
            kafka.start()
    assert not kafka.folder.exists()


def test_a_kafka_that_ends_at_start_shows_the_end_of_its_log(tools: None, tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path, properties={"log.retention.ms": "never"})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=1\n")
    with pytest.raises(LocalKafkaError, match=r"(?s)Kafka exited with 1.*log.retention.ms"):
        kafka.start()
    assert not kafka.running


def test_an_old_java_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.22\" 2024-01-16' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(LocalKafkaError, match=r"11\.0\.22.*needs Java 17 or newer"):
        LocalKafka(tmp_path / "kafka").start()


def test_a_missing_java_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(LocalKafkaError, match=r"No Java was found in JAVA_HOME .*: Kafka .* needs Java 17"):
        LocalKafka(tmp_path / "kafka").start()


def test_a_missing_maven_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalKafkaError, match="no `mvn` was found: install Maven"):
        LocalKafka(tmp_path, jars=tmp_path / "jars").install()


def test_maven_s_own_reason_is_shown_and_no_half_folder_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[INFO] Scanning'\necho '[ERROR] '\necho '[ERROR] disk is full'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(LocalKafkaError, match=r"Maven could not fetch Kafka .*: disk is full"):
        LocalKafka(tmp_path, jars=tmp_path / "jars").install()
    assert list((tmp_path / "jars").iterdir()) == []


def test_of_two_installs_at_once_both_find_the_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven = tmp_path / "mvn"
    maven.write_text(
        f"#!{sys.executable}\nimport pathlib, sys, time\ntime.sleep(0.5)\n"
        "(given,) = (each for each in sys.argv if each.startswith('-DoutputDirectory='))\n"
        "out = pathlib.Path(given.partition('=')[2])\nout.mkdir(parents=True)\n(out / 'kafka.jar').touch()\n"
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    code = "import sys; from pathlib import Path; from streams.local.kafka_jars import install_jars\n"
    code += "install_jars(Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "jars" / "1")]
    installs = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [install.wait(30) for install in installs] == [0, 0]
    assert [path.name for path in (tmp_path / "jars").iterdir()] == ["1"]
    assert [path.name for path in (tmp_path / "jars" / "1").iterdir()] == ["kafka.jar"]


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_412"', 8),
        ("gij (GNU libgcj)", None),
    ],
)
def test_the_java_version_is_read_from_what_java_says(said: str, version: int | None) -> None:
    assert java_version(said) == version


def test_where_maven_says_nothing_that_is_said() -> None:
    assert maven_error("[INFO] all is well\n") == "no reason given"


def test_what_is_not_kafka_does_not_count_as_an_answer() -> None:
    assert not answers(f"{HOST}:{free_port()}", timeout=0.5)
    assert not answers("no-port", timeout=0.5)
