"""Two servers that differ in known ways: the command finds these differences, and nothing else."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from streams.compare.comparison import Side, differences
from streams.compare.reading import Reading
from streams.compare.report import table
from streams.compare.shape import is_a_schemas, shape
from tests.support.site import ROOT

NAME = "Someone Secret"
TOPIC = "eqiad.edits"


def edit(offset: int, *, redacted: bool = False, **more: Any) -> dict[str, Any]:
    who = {} if redacted else {"performer": {"user_text": NAME, NAME: 1}}
    meta = {"domain": "a.example", "topic": TOPIC, "partition": 0, "offset": offset}
    return {"meta": meta, "comment": "" if redacted else f"about {NAME}", "rev": offset, **who, **more}


@contextmanager
def service(events: list[dict[str, Any]], *, status: bytes = b"200 OK") -> Iterator[str]:
    """A server that sends these events to a client, once, and then is silent."""
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %s\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:ok\n\n" % status)
        for event in events:
            writer.write(f"event: message\nid: []\ndata: {json.dumps(event)}\n\n".encode())
        writer.write(b'event: checkpoint\nid: []\ndata: {"meta":{"domain":"canary"}}\n\n')
        await writer.drain()
        if status != b"200 OK":
            writer.close()
        await reader.read()
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(stop(server))
        loop.close()


async def stop(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def compare(a: list[dict[str, Any]], b: list[dict[str, Any]], *options: str) -> tuple[int, str]:
    out = io.StringIO()
    with service(a) as url_a, service(b) as url_b:
        arguments = (url_a, url_b, "--stream", "edits", "--for", "3s", "--contact", "test@example.org")
        try:
            call_command("compare_services", *arguments, *options, stdout=out, stderr=io.StringIO())
        except SystemExit as end:
            return int(str(end.code)), out.getvalue()
        except CommandError as error:
            return error.returncode, str(error)
    return 0, out.getvalue()


def offsets(found: dict[str, Any]) -> list[int]:
    assert found["count"] == len(found["first"])
    return [place["offset"] for place in found["first"]]


def test_planted_differences_are_found_and_nothing_else() -> None:
    a = [edit(number) for number in range(10)]
    b = [edit(number, redacted=number == 8) for number in (0, 1, 2, 4, 5, 5, 7, 6, 8, 9, 10)]
    status, text = compare(a, b, "--json")
    assert status == 1
    report = json.loads(text)
    assert offsets(report["only_a"]) == [3]
    assert offsets(report["only_b"]) == [10]
    assert offsets(report["repeated_b"]) == [5]
    assert offsets(report["out_of_order_b"]) == [6]
    assert [report[f"{what}_a"]["count"] for what in ("repeated", "out_of_order", "unreadable")] == [0, 0, 0]
    assert report["unreadable_b"]["count"] == 0
    assert report["shapes"] == {
        "count": 1,
        "members": [
            {"path": "comment", "a": "text", "b": "empty text", "events": 1},
            {"path": "performer", "a": "object", "b": "missing", "events": 1},
            {"path": "performer.user_text", "a": "text", "b": "missing", "events": 1},
            {"path": "performer.…", "a": "number", "b": "missing", "events": 1},
        ],
    }
    shown = table(report)
    assert "performer: object in A, missing in B (1 events)" in shown
    assert f"    {TOPIC} 0 3\n" in shown
    assert NAME not in text + shown


def test_equal_services_are_equal() -> None:
    a = [edit(number) for number in range(5)]
    b = [{**each, "meta": {**each["meta"], "key": [1, 2]}} for each in a]  # the old service's form of a key
    status, text = compare(a, b)
    assert status == 0, text
    assert text.rstrip().endswith("No difference.")


def test_a_service_that_sends_nothing_is_not_equal() -> None:
    status, text = compare([edit(0)], [])
    assert (status, text[:46]) == (2, "Nothing was compared: a service has sent no ev")


def test_events_that_only_one_has_yet_are_not_equal() -> None:
    sides = (Side(), Side())
    for offset, side in enumerate(sides):
        side.took(json.dumps(edit(offset)).encode(), 10.0, {})
    report = differences(sides, until=9.0)  # the other may just be late
    assert (report["compared"], report["equal"]) == (False, False)
    assert table(report).endswith("Nothing was compared.")


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {"topic": NAME, "partition": 0, "offset": 1},
        {"topic": "t\x1b[2J", "partition": 0, "offset": 1},
        {"topic": ["t"], "partition": 0, "offset": 1},
        {"topic": "t", "partition": {NAME: 1}, "offset": 1},
        {"topic": "t", "partition": 0, "offset": NAME},
        {"topic": "t", "partition": True, "offset": -1},
    ],
)
def test_a_place_that_is_none_is_unreadable_and_not_shown(meta: Any) -> None:
    good, bad = Side(), Side()
    for side in (good, bad):
        side.took(json.dumps(edit(0)).encode(), 1.0, {})
    for _ in range(3):
        bad.took(json.dumps({**edit(1), "meta": meta}).encode(), 1.0, {})
    report = differences((good, bad), until=9.0)
    assert report["unreadable_b"]["count"] == 3
    assert report["events"]["b"] == 1
    assert NAME not in json.dumps(report)


def test_a_service_that_repeats_itself_forever_takes_no_memory() -> None:
    side = Side()
    for _ in range(2):
        for number in range(100):
            side.took(json.dumps(edit(number)).encode(), 1.0, {})
    assert (side.repeated.count, len(side.repeated.first)) == (100, 20)


def test_names_of_the_schemas_are_shown_and_no_other() -> None:
    files = [path for path in (ROOT / "config/schemas").rglob("*") if path.is_file()]
    names = {name for path in files for name in properties(yaml.safe_load(path.read_text()))}
    assert len(names) > 90
    assert [name for name in names if not is_a_schemas(name)] == []
    found = shape({"page": {"secret page": 1, "jane_doe": 1, "wolf": 1, "10.0.0.1": 1, "Wolf": 1, "user_wolf": 1}})
    assert found == {("page", "object"), ("page.…", "number")}


def properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties") or ()
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for each in inner:
        yield from properties(each)


def test_a_service_that_refuses_is_not_compared() -> None:
    with service([], status=b"404 Not Found") as url, pytest.raises(CommandError, match="404") as refused:
        call_command("compare_services", url, url, "--stream", "x", "--for", "60s", "--contact", "a@b.example")
    assert refused.value.returncode == 2


def test_what_cannot_be_compared_is_not_said_to_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong: the exit status 1 is that of differences."""
    arguments = ("http://127.0.0.1:1", "http://127.0.0.1:1", "--stream", "x", "--for", "60s", "--contact")
    with pytest.raises(CommandError, match="in ASCII") as refused:
        call_command("compare_services", *arguments, "Jürgen <j@example.org>")
    assert refused.value.returncode == 2

    async def fails(_self: object) -> None:
        raise KeyError(NAME)

    monkeypatch.setattr(Reading, "run", fails)
    with pytest.raises(CommandError, match="KeyError") as failed:
        call_command("compare_services", *arguments, "j@example.org")
    assert failed.value.returncode == 2
    assert NAME not in str(failed.value)


def test_a_shape_has_no_value_and_no_name_of_a_user() -> None:
    found = shape({"by_user": {NAME: {"edits": 3}}, "tags": ["x"], "flag": True, "none": None})
    assert found == {
        ("by_user", "object"),
        ("by_user.…", "object"),
        ("by_user.….edits", "number"),
        ("tags", "array"),
        ("tags[]", "text"),
        ("flag", "boolean"),
        ("none", "null"),
    }
