"""`manage.py sync_streams`, as a shell and a cron job see it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from streams.models import ConfiguredStream, SyncRun
from tests.support.around import config_server as does
from tests.support.around.config_server import ConfigServer
from tests.support.site import ROOT, Site

pytestmark = pytest.mark.django_db


def some(*names: str) -> dict[str, Any]:
    return {name: {"topics": [f"eqiad.{name}"]} for name in names}


class Source:
    """A file of streams that the environment names, and the command."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capsys = capsys

    def say(self, **streams: Any) -> None:
        self.path.write_text(json.dumps(streams))

    def command(self, *options: str) -> tuple[int, str]:
        """Exit status and output."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            call_command("sync_streams", *options)
        assert isinstance(end.value.code, int)
        return end.value.code, self._capsys.readouterr().out

    def json(self, *options: str) -> tuple[int, dict[str, Any]]:
        status, output = self.command("--json", *options)
        found = json.loads(output)
        assert found.pop("seconds") >= 0
        return status, found


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Source]:
    path = tmp_path / "streams.json"
    monkeypatch.delenv("EVENTSTREAMS_CONFIG", raising=False)
    monkeypatch.setenv("EVENTSTREAMS_STREAM_CONFIG_URI", str(path))
    made = Source(path, capsys)
    made.say(**some(*"abcdef"))
    return made


def test_it_says_what_has_changed_for_people(source: Source) -> None:
    assert source.command()[0] == 0
    assert list(ConfiguredStream.objects.values_list("name", flat=True)) == [*"abcdef"]
    source.say(**some(*"cdefg"), left={"x": "\0"}, b={"topics": ["new"], "desciption": "x"})
    status, output = source.command()
    assert status == 0
    first, *rest = output.splitlines()
    assert first.startswith(f"changed: {source.path} (")
    assert rest[:8] == ["added (1):", "  g", "removed (1):", "  a", "changed (1):", "  b", "withdrawn (1):", "  a"]
    assert rest[8].startswith("skipped: left: its settings have")
    assert rest[9:] == ["check: b: its setting desciption has no effect; did you mean description?"]
    status, output = source.command()
    assert (status, output.splitlines()[0].startswith("unchanged: ")) == (0, True)
    assert [run.by for run in SyncRun.objects.all()] == ["sync_streams", "sync_streams"]


def test_it_says_what_has_changed_as_json(source: Source) -> None:
    source.command()
    source.say(**some(*"abcdeü"))
    assert source.json() == (
        0,
        {
            "outcome": "changed",
            "dry_run": False,
            "source": str(source.path),
            "error": "",
            "added": ["ü"],
            "removed": ["f"],
            "changed": [],
            "withdrawn": ["f"],
            "left_out": [],
            "problems": [
                {"name": "ü", "reason": "'eqiad.ü' is no legal topic name (1 to 249 of A-Z a-z 0-9 . _ -)"},
            ],
        },
    )


def test_a_dry_run_says_it_and_writes_nothing(source: Source) -> None:
    status, output = source.command("--dry-run")
    assert status == 0
    assert output.startswith("would be changed: ")
    assert "added (6):\n  a\n" in output
    status, found = source.json("--dry-run")
    assert (status, found["dry_run"], found["added"]) == (0, True, [*"abcdef"])
    assert not ConfiguredStream.objects.exists()
    assert not SyncRun.objects.exists()


def test_what_is_held_ends_with_3_and_force_applies_it(source: Source) -> None:
    source.command()
    source.say(**some("a"))
    for options in (["--dry-run"], []):
        status, output = source.command(*options)
        assert status == 3
        assert output.startswith(f"held: {source.path}: it would withdraw 5 of 6 streams")
        assert "withdrawn (5):\n  b\n" in output
    assert source.json()[0] == 3
    assert ConfiguredStream.objects.count() == 6
    assert source.json("--force", "--dry-run")[1]["outcome"] == "changed"
    assert ConfiguredStream.objects.count() == 6
    assert source.command("--force")[0] == 0
    assert ConfiguredStream.objects.count() == 1


def test_what_fails_ends_with_1_and_the_reason(source: Source) -> None:
    source.path.write_text("[]")
    status, output = source.command()
    assert status == 1
    assert output.startswith(f"failed: {source.path}: expected a mapping")
    status, found = source.json()
    assert (status, found["outcome"]) == (1, "failed")
    assert "expected a mapping" in found["error"]


def test_over_http_it_sends_the_configured_headers(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ConfigServer() as server:
        server.answer = does.document({"all": some("a", "b")})
        monkeypatch.setenv("EVENTSTREAMS_STREAM_CONFIG_URI", server.url)
        monkeypatch.setenv("EVENTSTREAMS_STREAM_CONFIG_URI_OPTIONS", "{headers: {X-Key: s3cret}}")
        monkeypatch.setenv("EVENTSTREAMS_STREAM_CONFIG_OBJECT_PATH", "all")
        status, output = source.command()
        assert (status, server.requests[0][1]["x-key"]) == (0, "s3cret")
        assert "added (2):" in output
        server.answer = does.status(500)
        assert source.command()[1].startswith(f"failed: {server.url}: the answer is 500")


def test_a_mistake_in_the_configuration_and_a_database_without_tables_are_errors_in_a_sentence(
    source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVENTSTREAMS_MAX_STREAMS", "none")
    with pytest.raises(CommandError, match="max_streams: 'none' is not accepted"):
        call_command("sync_streams")
    monkeypatch.delenv("EVENTSTREAMS_MAX_STREAMS")
    site = Site(tmp_path, "127.0.0.1:9", some("a"))
    done = site.manage("sync_streams", DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("CommandError: Database error: no such table")
    assert "did you run `manage.py migrate`?" in done.stderr


@pytest.mark.slow
def test_of_processes_that_find_the_same_change_at_once_one_writes_it(tmp_path: Path) -> None:
    site = Site(tmp_path, "127.0.0.1:9", some(*"abc"))
    command = [sys.executable, "manage.py", "sync_streams", "--json"]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=site.django_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    outcomes = []
    for process in running:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
        outcomes.append(json.loads(output)["outcome"])
    assert sorted(outcomes) == ["changed", "unchanged", "unchanged"]
    again = json.loads(site.manage("sync_streams", "--json").stdout)
    assert again["outcome"] == "unchanged"
