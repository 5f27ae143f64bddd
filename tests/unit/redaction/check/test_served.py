"""Reading a service's history as its clients do: framing, resuming, and what is reported when it cannot be done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redaction.check import api_client
from redaction.check.api_client import CheckError, HistoryReader, is_loopback
from streams.local.processes import free_port
from tests.support.around.fake_service import Answer, FakeService, block, fake_service, head, problem

IDLE = 0.3


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "RECONNECT_SECONDS", 0.01)


class Enough(Exception):
    pass


async def events_of(service: FakeService, wanted: int | None = None, streams: tuple[str, ...] = ("a",)) -> list[bytes]:
    """The events that come, up to `wanted` of them or until no more come."""
    events: list[bytes] = []

    def take(data: bytes) -> bool:
        events.append(data)
        if len(events) == wanted:
            raise Enough
        return True

    try:
        await HistoryReader(service.url, streams, 1_600_000_000_000).read(take, IDLE)
    except Enough:
        pass
    else:
        assert wanted is None
    return events


async def test_it_asks_as_a_client_of_events_does() -> None:
    async with fake_service(head() + b":ok\n\n" + block({"n": 1}), holds=True) as service:
        await events_of(service, 1, ("mediawiki.recentchange", "odd name"))
    [asked] = service.asked
    assert asked.target == "/v2/stream/mediawiki.recentchange,odd%20name?since=1600000000000"
    assert asked.headers["accept"] == "text/event-stream"
    assert "last-event-id" not in asked.headers


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
async def test_events_are_read_as_the_standard_says(line_end: bytes) -> None:
    body = b":ok\n\n:\nevent: message\nid: [1]\ndata: {}\n\n:\ndata:{\ndata:  }\nunknown: x\n\nid: [2]\n\nretry: 7\n\n"
    big = b"x" * 200_000
    async with fake_service(
        head() + (body + b"data: " + big + b"\n\ndata: cut off").replace(b"\n", line_end), holds=True
    ) as service:
        assert await events_of(service) == [b"{}", b"{\n }", big]


async def test_a_stream_that_breaks_off_is_resumed_by_its_last_id() -> None:
    answers: list[Answer] = [
        head() + block({"n": 1}, "[first]") + block({"n": 2}, "[second]") + b"event: message\nid: [third]\nda",
        head() + block({"status": 503, "detail": "about to stop"}, kind="error"),
        head() + b":ok\n\n",
        head() + block({"n": 3}, "[third]"),
    ]
    async with fake_service(*answers) as service:
        assert await events_of(service, 3) == [b'{"n": 1}', b'{"n": 2}', b'{"n": 3}']
    assert [asked.headers.get("last-event-id") for asked in service.asked] == [None, *["[second]"] * 3]
    assert ["since" in asked.target for asked in service.asked] == [True, False, False, False]


async def test_a_stream_that_only_breaks_off_is_given_up_with_its_reason() -> None:
    answer = head() + block({"detail": "Kafka cannot be reached at the moment"}, kind="error")
    async with fake_service(answer) as service:
        with pytest.raises(CheckError, match="ended the stream: Kafka cannot be reached at the moment"):
            await events_of(service)
        assert len(service.asked) == api_client.ATTEMPTS + 1


async def test_a_silent_stream_ends_although_it_says_that_it_lives() -> None:
    async with fake_service(head() + block({"n": 1}) + b":\n" * 5, holds=True) as service:
        assert await events_of(service) == [b'{"n": 1}']


async def test_events_that_are_not_waited_for_prolong_nothing() -> None:
    seen = []

    def unwanted(data: bytes) -> bool:
        seen.append(data)
        return False

    async with fake_service(head(), drip=block({"n": 1})) as service, asyncio.timeout(10):
        await HistoryReader(service.url, ["a"], 0).read(unwanted, IDLE)
    assert seen


async def test_a_stream_that_breaks_off_often_is_read_as_long_as_it_gives_something() -> None:
    count = 2 * api_client.ATTEMPTS
    answers: list[Answer] = [head() + block({"n": number}, f"[{number}]") for number in range(count)]
    async with fake_service(*answers) as service:
        assert len(await events_of(service, count)) == count


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (problem("404 Not Found", "Invalid streams: nope"), "answered 404: Invalid streams: nope"),
        (problem("429 Too Many Requests", "At most 1."), "answered 429: At most 1. A test needs one connection"),
        (head("502 Bad Gateway", "text/html") + b"<h1>oh</h1>", "answered 502: no readable reason"),
        (head("500 No", "application/json") + b"[1]", "answered 500: no reason"),
        (head("301 Moved", "text/html", "Location: https://x.example/"), "redirects to https://x.example/; use that"),
        (b"SSH-2.0-OpenSSH\r\n", "cannot be reached|closed the connection"),
    ],
)
async def test_a_refusal_is_a_sentence(answer: bytes, said: str) -> None:
    async with fake_service(answer) as service:
        with pytest.raises(CheckError, match=said):
            await HistoryReader(service.url, ["a"], 0).ask()
        with pytest.raises(CheckError, match=said):
            await events_of(service)


async def test_a_server_that_is_not_there_is_a_sentence() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(CheckError, match=f"{url} cannot be reached"):
        await HistoryReader(url, ["a"], 0).ask()


async def test_one_that_never_begins_to_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "HEADERS_SECONDS", 0.1)
    async with fake_service(b"HTTP/1.1 200 OK\r\n", holds=True) as service:
        with pytest.raises(CheckError, match="did not answer within"):
            await HistoryReader(service.url, ["a"], 0).ask()


async def test_asking_reads_nothing() -> None:
    async with fake_service(head() + block({"n": 1}), holds=True) as service:
        await HistoryReader(service.url, ["a"], 0).ask()
        assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("", False),
    ],
)
def test_only_loopback_is_this_machine(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here


def test_no_proxy_stands_before_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[Any] = []
    monkeypatch.setattr(api_client.httpx, "AsyncClient", lambda **options: clients.append(options["trust_env"]))
    HistoryReader("http://127.0.0.1:8092", ["a"], 0)._client()
    HistoryReader("https://stream.example.org", ["a"], 0)._client()
    assert clients == [False, True]
