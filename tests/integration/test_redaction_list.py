"""Nothing leaves before the list of redacted pages has been read, and a later outage is only reported."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON, SSE
from tests.support.site import Site


@pytest.fixture
def site(kafka: Any, topic: str, tmp_path: Path) -> Iterator[Site]:
    """A server whose database lacks the table of redacted pages."""
    made = Site(tmp_path, kafka.bootstrap, {"test": {"topics": [topic]}})
    rename(made, "redaction_redactedpage", "away")
    try:
        yield made.start(wait_ready=False)
    finally:
        made.close()


def wait_for_state(site: Site, is_reached: Callable[[Any], bool], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not is_reached(state := site.json("/readyz")):
        assert time.monotonic() < deadline, state
        time.sleep(0.1)
    return state


async def test_no_stream_opens_before_the_list_was_read_and_a_later_outage_is_said_and_ends_nothing(site: Site) -> None:
    site.wait_for(503)
    wait_for_state(site, lambda state: state.get("reasons") == ["the redaction list has not been read yet"])
    assert "manage.py migrate" in site.log.read_text()

    status, headers, body = site.get("/v2/stream/test", NDJSON)
    problem = json.loads(body)
    assert (status, problem["type"]) == (503, "no_redaction_list")
    assert int(headers["retry-after"]) > 0
    told = await StreamClient.connect(site.port, "/v2/stream/test", SSE)
    events = [event async for event in told.events()]
    assert told.status == 200
    assert [(event.event, event.json["type"]) for event in events] == [("error", "no_redaction_list")]
    assert 5_000 <= (told.retry or 0) <= 15_000

    rename(site, "away", "redaction_redactedpage")
    wait_for_state(site, lambda state: state["status"] == "ready")
    client = await StreamClient.connect(site.port, "/v2/stream/test", SSE)
    assert client.status == 200

    rename(site, "streams_version", "away")
    wait_for_log(site, "The database cannot be used: ", 2)
    other = await StreamClient.connect(site.port, "/v2/stream/test", SSE)
    assert other.status == 200, "the last list is in force"
    rename(site, "away", "streams_version")
    wait_for_log(site, "The database can be used again", 2)
    for each in (told, client, other):
        await each.close()


def wait_for_log(site: Site, text: str, times: int) -> None:
    deadline = time.monotonic() + 20
    while site.log.read_text().count(text) < times:
        assert time.monotonic() < deadline, site.log.read_text()
        time.sleep(0.1)


def rename(site: Site, table: str, to: str) -> None:
    with closing(sqlite3.connect(site.database)) as database:
        database.execute(f"ALTER TABLE {table} RENAME TO {to}")
        database.commit()
