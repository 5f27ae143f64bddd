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
from django.core.management import CommandError, call_command

from streams.compare.reading import Reading
from streams.compare.report import table
from streams.compare.shape import shape

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
    assert (status, text) == (2, "Nothing was compared: a service has sent no event")


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
