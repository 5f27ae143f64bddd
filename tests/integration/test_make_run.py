"""`make run` on a machine that has Python alone: no Kafka answers, and neither Java nor Maven is there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from eventstreams_site import devserver
from streams.local.processes import HOST, free_port, spawn, terminate
from tests.support.around.chromium import skip
from tests.support.around.fake_service import fake_service, head, problem
from tests.support.client import StreamClient

ROOT = Path(__file__).resolve().parents[2]
SSE = {"Accept": "text/event-stream"}


@pytest.fixture
def bare_machine(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH has nothing but Python, and whose Kafka does not answer."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("LANG", "LC_", "TMPDIR"))}
    return kept | {
        "PATH": str(programs),
        "HOME": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/database.sqlite3",
        "EVENTSTREAMS_KAFKA": f'{{metadata.broker.list: "{HOST}:{free_port()}"}}',
    }


def test_make_installs_with_nothing_but_python(bare_machine: dict[str, str], tmp_path: Path) -> None:
    """`make run` begins so; the requirements are none here, since they come from elsewhere."""
    make = shutil.which("make")
    if make is None:
        skip("needs make")
    folder = tmp_path / "checkout"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (folder / name).touch()
    done = subprocess.run(
        [make, ".venv/installed-dev"], cwd=folder, env=bare_machine, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert (folder / ".venv" / "installed").exists()


async def read(port: int, path: str, headers: dict[str, str], count: int) -> list[tuple[str, str]]:
    """The ids and data of the first events."""
    client = await StreamClient.connect(port, path, {**SSE, **headers})
    got = []
    async for event in client.events():
        got.append((event.id or "", event.data))
        if len(got) == count:
            break
    client.abort()
    return got


async def test_the_demo_runs_in_memory_with_history_and_exact_resume_and_says_what_is_missing(
    bare_machine: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    output = tmp_path / "output"
    running = spawn(
        [sys.executable, "-m", "eventstreams_site.devserver"], output, env=bare_machine | {"PORT": str(port)}, cwd=ROOT
    )
    try:
        deadline = time.monotonic() + 60
        while "EventStreams is up" not in output.read_text():
            assert running.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            await asyncio.sleep(0.1)
        said = output.read_text()
        assert "No Java was found" in said
        assert "apt install default-jre-headless" in said
        assert "keeps its events in memory" in said

        since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        path = "/v2/stream/recentchange?since=" + since.replace("+", "%2B")
        async with asyncio.timeout(30):
            while len(events := await read(port, path, {}, 300)) < 300:
                await asyncio.sleep(0.1)
            again = await read(port, "/v2/stream/recentchange", {"Last-Event-ID": events[99][0]}, 200)
        origins = [json.loads(data)["meta"] for _, data in again]
        for entry in json.loads(events[99][0]):  # events of different topics have no order
            offset = int(entry["cursor"].partition(":")[2])
            got = [origin["offset"] for origin in origins if origin["topic"] == entry["topic"]]
            assert got == [*range(offset, offset + len(got))]
        assert {origin["topic"] for origin in origins} <= {entry["topic"] for entry in json.loads(events[99][0])}
        assert len(again) == 200
        assert len({id_ for id_, _ in events}) == 300
        assert json.loads(events[0][1])["meta"]["stream"] == "mediawiki.recentchange"

        live = await asyncio.wait_for(read(port, "/v2/stream/recentchange", {}, 2), 30)
        assert len(live) == 2, "the demo does not end with its history"
        with urllib.request.urlopen(f"http://{HOST}:{port}/v2/ui", timeout=10) as page:
            assert page.status == 200
        running.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(running.wait, 20) == 0
    finally:
        terminate(running, 10)


def run_to_its_end(environ: dict[str, str], output: Path) -> str:
    """What `make run` says before it ends, or once it is up and is asked to end."""
    running = spawn([sys.executable, "-m", "eventstreams_site.devserver"], output, env=environ, cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while running.poll() is None and "EventStreams is up" not in output.read_text():
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        return output.read_text()
    finally:
        terminate(running, 15)


def test_real_events_need_a_contact_a_kafka_and_a_way_to_them(bare_machine: dict[str, str], tmp_path: Path) -> None:
    environ = bare_machine | {"PORT": str(free_port()), "UPSTREAM": f"http://{HOST}:{free_port()}"}
    assert "MIRROR_CONTACT is not set: a mail address" in run_to_its_end(environ, tmp_path / "first")
    environ["MIRROR_CONTACT"] = "me@example.org"
    said = run_to_its_end(environ, tmp_path / "second")
    assert "cannot be mirrored without a Kafka to write to; the events are invented ones" in said
    assert "EventStreams is up" in said


LOGIN = "http://login.example/"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (head() + b":ok\n\n", ""),
        (head("200 OK", "text/html") + b"<form>Log in", "answered with text/html instead of events"),
        (head("302 Found", "text/html", f"Location: {LOGIN}"), f"redirects to {LOGIN}"),
        (head("511 Network Authentication Required", "text/html") + b"Log in", "answered 511: Log in"),
        (problem("404 Not Found", "no stream b"), "answered 404: {"),
        (None, "connect"),
    ],
)
async def test_a_service_is_mirrored_in_place_of_the_demo_if_it_sends_events(
    answer: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with fake_service(answer or head()) as upstream:
        url = upstream.url if answer else f"http://{HOST}:{free_port()}"
        environ = {"UPSTREAM": url, "MIRROR_CONTACT": "me@example.org", "UPSTREAM_STREAMS": "a, b"}
        arguments = await asyncio.to_thread(devserver.mirror_arguments, environ, "localhost:9092")
    assert arguments == (() if said else ("mirror", url, "--stream", "a, b"))
    output = capsys.readouterr().out
    assert said in output
    assert output.endswith("The events are invented ones.\n" if said else "")
    if answer:
        assert [asked.target for asked in upstream.asked] == ["/v2/stream/a,b"]


async def test_the_streams_that_are_mirrored_by_default_are_those_that_production_has() -> None:
    production = yaml.safe_load((ROOT / "tests/data/config.production.yaml").read_text())
    settings = production["stream_config_defaults"].values()
    aliases = [alias for each in settings for alias in each.get("stream_aliases", ())]
    async with fake_service(head() + b":ok\n\n") as upstream:
        environ = {"UPSTREAM": upstream.url, "MIRROR_CONTACT": "me@example.org"}
        *_, names = await asyncio.to_thread(devserver.mirror_arguments, environ, "localhost:9092")
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["mirror"]["command"][-1]
    assert names == composed
    assert set(names.split(",")) <= {*production["allowed_streams"], *aliases}


def test_a_contact_that_no_request_can_carry_is_refused() -> None:
    environ = {"UPSTREAM": "https://stream.example", "MIRROR_CONTACT": "Jürgen"}
    with pytest.raises(devserver.DevServerError, match="MIRROR_CONTACT is 'Jürgen': a mail address"):
        devserver.mirror_arguments(environ, "localhost:9092")


def test_several_workers_are_refused_where_events_are_in_the_memory_of_one(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "DJANGO_DEBUG": "1",
        "DATABASE_URL": f"sqlite:///{tmp_path}/database.sqlite3",
        "EVENTSTREAMS_KAFKA": "{metadata.broker.list: memory}",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "serve", "--workers", "2", "--port", str(free_port())],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "--workers and --ops-port need a Kafka" in done.stderr
