"""The log's lines about streams that ended."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from streams.core.filters import NO_FILTER, Filter
from streams.http.stream_log import LINES_A_SECOND, LoggedStream, StreamLog, anonymous, filter_names

SENT = SimpleNamespace(events=7, nbytes=900)


def opened(wanted: Filter = NO_FILTER) -> LoggedStream:
    return LoggedStream(["b", "a"], wanted, "198.51.100.7", SENT, began=100.0)


def test_a_line_has_what_was_sent_and_no_value_of_the_filter(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        StreamLog(clock=lambda: 112.34).ended(opened(Filter("title=Secret_name&user=Somebody&title=X")), "client")
    (line,) = caplog.records
    assert line.fields == {
        "streams": "a,b",
        "filter": "title,user",
        "seconds": 12.3,
        "events": 7,
        "bytes": 900,
        "reason": "client",
        "address": "198.51.100.0/24",
    }
    assert "Secret" not in repr(line.__dict__)


@pytest.mark.parametrize(("addresses", "shown"), [("full", "198.51.100.7"), ("none", None)])
def test_the_setting_decides_about_addresses(
    addresses: str, shown: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        StreamLog(addresses).ended(opened(), "end")
    assert caplog.records[0].fields.get("address") == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [("198.51.100.7", "198.51.100.0/24"), ("2001:db8:1:2::5", "2001:db8:1::/48"), ("unix socket", ""), ("", "")],
)
def test_an_address_becomes_its_network(address: str, shown: str) -> None:
    assert anonymous(address) == shown


def test_a_condition_on_a_field_is_named_without_its_value() -> None:
    assert filter_names(NO_FILTER) == ""
    assert filter_names(Filter("canary=true&wiki=dewiki")) == "canary,wiki"


async def test_when_many_end_the_log_says_how_many_it_left_out(caplog: pytest.LogCaptureFixture) -> None:
    log = StreamLog(clock=lambda: 150.0)
    with caplog.at_level(logging.INFO):
        for number in range(LINES_A_SECOND + 300):
            log.ended(opened(), "draining" if number % 3 else "client")
        assert len(caplog.records) == LINES_A_SECOND
        deadline = asyncio.get_running_loop().time() + 20
        while len(caplog.records) == LINES_A_SECOND and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
    last = caplog.records[-1].fields
    assert last["ended"] == 300
    assert last["ended_client"] + last["ended_draining"] == 300
