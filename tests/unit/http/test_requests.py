from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from streams.core.catalogue import Layers, compile_catalogue
from streams.core.errors import InvalidCompression, InvalidFilter, InvalidTimestamp, TooManyStreams
from streams.http.client_address import client_ip
from streams.http.negotiation import Format
from streams.http.requests import StreamRequest, header, request_uri

PROXIES = [ip_network(text) for text in ("127.0.0.0/8", "10.0.0.0/8", "::1/128", "fd00::/8")]


def scope(
    path: str = "/v2/stream/a", query: str = "", peer: str | None = "127.0.0.1", **headers: str | list[str]
) -> Any:
    """An ASGI scope; `headers` with underscores for dashes, a list for a header that is there several times."""
    fields = [
        (name.replace("_", "-").encode(), value.encode())
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": fields,
        "client": None if peer is None else [peer, 50_000],
    }


@pytest.mark.parametrize(
    ("peer", "claimed", "expected"),
    [
        # A trusted proxy is believed.
        ("127.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.1.2.3", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::1", "203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", " 203.0.113.5 ", "203.0.113.5"),
        # An untrusted peer is not, whatever it claims.
        ("198.51.100.1", "203.0.113.5", "198.51.100.1"),
        ("2001:db8::9", "203.0.113.5", "2001:db8::"),
        ("198.51.100.1", None, "198.51.100.1"),
        # A proxy that says nothing, or nonsense, counts itself.
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.5, nonsense", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.5, nonsense, 10.0.0.9", "10.0.0.9"),
        # What a client wrote itself cannot hide it.
        ("127.0.0.1", "2001:db8::" + "1" * 60_000, "127.0.0.1"),
        ("127.0.0.1", "nonsense, 203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", "nonsense, 203.0.113.5, 10.0.0.9", "203.0.113.5"),
        ("127.0.0.1", "203.0.113.5,", "203.0.113.5"),
        ("127.0.0.1", ", ,203.0.113.5 , ", "203.0.113.5"),
        # With a port, which some proxies add.
        ("127.0.0.1", "203.0.113.5:4711", "203.0.113.5"),
        ("127.0.0.1", "[2001:db8::1]:44", "2001:db8::"),
        ("127.0.0.1", "[2001:db8::1]", "2001:db8::"),
        ("127.0.0.1", "[2001:db8::1", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.5:", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.1, 203.0.113.5:4711, [fd00::1]:80, 10.0.0.9:80", "203.0.113.5"),
        # A list: the rightmost that is no proxy of ours; what is left of it may be forged.
        ("127.0.0.1", "192.0.2.1, 203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", "192.0.2.1, 203.0.113.5, 10.0.0.9", "203.0.113.5"),
        ("127.0.0.1", "203.0.113.5,10.0.0.9,10.0.0.8", "203.0.113.5"),
        ("127.0.0.1", "10.0.0.7, 10.0.0.9", "10.0.0.7"),
        ("127.0.0.1", "10.0.0.7", "10.0.0.7"),
        # One address, one spelling.
        ("::ffff:127.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("::ffff:198.51.100.1", "203.0.113.5", "198.51.100.1"),
        ("127.0.0.1", "::ffff:203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", "2001:DB8:0::1", "2001:db8::"),
    ],
)
def test_a_client_is_who_a_trusted_proxy_says_else_the_peer(peer: str, claimed: str | None, expected: str) -> None:
    headers = {} if claimed is None else {"x_client_ip": claimed}
    assert client_ip(scope(peer=peer, **headers), "X-Client-IP", PROXIES) == expected


def test_a_header_that_is_there_twice_is_one_list() -> None:
    twice = scope(x_forwarded_for=["192.0.2.1, 203.0.113.5", "10.0.0.9"])
    assert client_ip(twice, "X-Forwarded-For", PROXIES) == "203.0.113.5"


def test_only_the_configured_header_counts() -> None:
    other = scope(x_forwarded_for="192.0.2.1", x_client_ip="203.0.113.5")
    assert client_ip(other, "X-Client-IP", PROXIES) == "203.0.113.5"
    assert client_ip(other, "X-Real-IP", PROXIES) == "127.0.0.1"


def test_without_trusted_proxies_the_peer_counts() -> None:
    assert client_ip(scope(x_client_ip="203.0.113.5"), "X-Client-IP", []) == "127.0.0.1"


def test_a_peer_without_an_address_is_one_client_and_is_not_believed() -> None:
    assert client_ip(scope(peer=None, x_client_ip="203.0.113.5"), "X-Client-IP", PROXIES) == ""
    assert client_ip(scope(peer="unix", x_client_ip="203.0.113.5"), "X-Client-IP", PROXIES) == "unix"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a", ["a"]),
        ("a/", ["a"]),
        ("a,b", ["a", "b"]),
        ("b,a,b/", ["b", "a"]),
        ("a b", ["a b"]),
        ("é", ["é"]),
    ],
)
def test_names_are_taken_from_the_path_each_once(path: str, names: list[str]) -> None:
    assert StreamRequest.from_scope(scope(f"/v2/stream/{path}")).stream_names(2) == names


@pytest.mark.parametrize("path", ["", "/", ",", "a,", ",a", "a,,b", "a,/"])
def test_an_empty_name_is_a_name_and_no_stream_has_it(path: str) -> None:
    names = StreamRequest.from_scope(scope(f"/v2/stream/{path}")).stream_names(50)
    topics = {"topics": ["t"]}
    catalogue = compile_catalogue(Layers({"": topics, "a": {**topics, "stream_aliases": [""]}}), 0)
    assert [stream.name for stream in catalogue.streams.values()] == ["a"]
    assert "" in catalogue.resolve(names)[1]


def test_more_names_than_the_limit_are_refused_before_they_are_looked_at() -> None:
    request = StreamRequest.from_scope(scope("/v2/stream/a,b,c"))
    assert request.stream_names(3) == ["a", "b", "c"]
    with pytest.raises(TooManyStreams, match=r"3 streams; at most 2"):
        request.stream_names(2)


@pytest.mark.parametrize(
    ("query", "headers", "text"),
    [
        ("", {}, ""),
        ("", {"last_event_id": "h"}, "h"),
        ("lastEventId=p", {}, "p"),
        ("last-event-id=p", {}, "p"),
        ("last_event_id=p", {}, "p"),
        ("lastEventId=p", {"last_event_id": "h"}, "h"),
        ("lastEventId=p", {"last_event_id": " "}, "p"),
        ("last_event_id=c&last-event-id=b&lastEventId=a", {}, "a"),
        ("lastEventId=&last-event-id=b", {}, "b"),
        ("lastEventId=%5B%22t%22%5D", {}, '["t"]'),
        ("LastEventId=p", {}, ""),
    ],
)
def test_the_id_is_the_headers_else_a_parameters(query: str, headers: dict[str, str], text: str) -> None:
    request = StreamRequest.from_scope(scope(query=query, **headers))
    assert request.last_event_ids == ((text,) if text else ())
    assert request.has_id is bool(text)


@pytest.mark.parametrize(
    ("query", "ms"),
    [("", None), ("since=", None), ("since=5", 5), ("since=1970-01-01T00:00:01+00:00", 1000), ("x=5", None)],
)
def test_since_is_a_time_or_none(query: str, ms: int | None) -> None:
    assert StreamRequest.from_scope(scope(query=query)).since() == ms


@pytest.mark.parametrize("query", ["since=1&since=1", "since=&since=", "since=never"])
def test_a_since_that_is_no_time_or_not_one_is_refused(query: str) -> None:
    with pytest.raises(InvalidTimestamp):
        StreamRequest.from_scope(scope(query=query)).since()


@pytest.mark.parametrize(
    ("headers", "soft"),
    [
        ({"accept": "text/event-stream"}, True),
        ({"accept": "text/html, text/event-stream;q=0.1"}, True),
        ({"last_event_id": "x"}, True),
        ({"accept": "*/*", "last_event_id": "x"}, True),
        ({"accept": "text/html"}, False),
        ({"accept": "*/*"}, False),
        ({}, False),
        ({"accept": "application/json"}, False),
        ({"accept": "application/json", "last_event_id": "x"}, False),
        ({"accept": "application/json, text/event-stream;q=0.1", "last_event_id": "x"}, False),
    ],
)
def test_an_error_may_be_an_event_for_those_who_certainly_read_events(headers: dict[str, str], soft: bool) -> None:
    assert StreamRequest.from_scope(scope(**headers)).may_be_told_by_event is soft


def test_the_accept_header_may_be_there_twice() -> None:
    request = StreamRequest.from_scope(scope(accept=["text/event-stream;q=0.5", "application/jsonl"]))
    assert request.format is Format.JSONL


def test_a_header_that_is_not_there_is_none_and_bytes_that_are_no_utf8_do_no_harm() -> None:
    assert header(scope(), b"accept") is None
    assert header({"headers": [(b"x", b"a\xff")]}, b"x") == "a\ufffd"


def test_the_uri_of_an_answer_is_the_one_that_was_sent() -> None:
    sent = {**scope("/v2/stream/a,b", "since=%31"), "raw_path": b"/v2/stream/a%2Cb"}
    assert request_uri(sent) == "/v2/stream/a%2Cb?since=%31"
    assert request_uri({"path": "/x", "query_string": b""}) == "/x"


def asked(query: str) -> StreamRequest:
    return StreamRequest.from_scope(scope(query=query))


@pytest.mark.parametrize(
    ("query", "ms"),
    [
        ("", None),
        ("until=", None),
        ("until=5", 5),
        ("until=-5", 0),
        ("until=1970-01-01T00:00:01+00:00", 1000),
        ("since=4&until=5", 5),
        ("since=&until=5", 5),
    ],
)
def test_until_is_a_time_in_the_grammar_of_since_or_none(query: str, ms: int | None) -> None:
    assert asked(query).until() == ms


@pytest.mark.parametrize(
    "query",
    ["until=never", "until=1&until=1", "until=&until=", "since=5&until=5", "since=5&until=4", "until=-1&since=-2"],
)
def test_an_until_that_is_no_time_or_not_one_or_not_after_since_is_refused_by_name(query: str) -> None:
    with pytest.raises(InvalidTimestamp, match="until"):
        asked(query).until()


@pytest.mark.parametrize(
    ("query", "limit", "checkpoint"),
    [
        ("", None, None),
        ("limit=&checkpoint=", None, None),
        ("limit=1&checkpoint=5", 1, 5),
        ("limit=1000000000&checkpoint=3600", 10**9, 3600),
        ("limit=&limit=007", 7, None),
    ],
)
def test_limit_and_checkpoint_are_whole_numbers_or_none(query: str, limit: int | None, checkpoint: int | None) -> None:
    assert (asked(query).limit(), asked(query).checkpoint()) == (limit, checkpoint)


@pytest.mark.parametrize(
    "value", ["0", "1000000001", "-1", "1.0", "1e3", "+7", "%2B7", "x", "%20", "%FF", "%EF%BC%91", "1" * 10_000]
)
@pytest.mark.parametrize("name", ["limit", "checkpoint"])
def test_a_limit_or_checkpoint_that_is_no_number_in_its_bounds_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidFilter, match=f"^{name} is '.*; expected a whole number") as error:
        getattr(asked(f"{name}={value}"), name)()
    assert len(error.value.detail) < 250


@pytest.mark.parametrize("query", ["limit=7&limit=7", "checkpoint=7&checkpoint=8"])
def test_a_limit_or_checkpoint_that_is_given_twice_is_refused(query: str) -> None:
    name = query.partition("=")[0]
    with pytest.raises(InvalidFilter, match=f"^{name} was given more than once"):
        getattr(asked(query), name)()


@pytest.mark.parametrize(("name", "value"), [("checkpoint", "4"), ("checkpoint", "3601")])
def test_the_bounds_of_a_checkpoint_are_its_own(name: str, value: str) -> None:
    with pytest.raises(InvalidFilter, match="from 5 to 3600"):
        asked(f"{name}={value}").checkpoint()


@pytest.mark.parametrize(
    ("query", "accept_encoding", "coding"),
    [
        ("", "gzip, deflate, br, zstd", None),
        ("compress=", "gzip", None),
        ("compress=auto", "gzip, deflate, br, zstd", "zstd"),
        ("compress=auto", "gzip, deflate", "gzip"),
        ("compress=auto", "deflate, br", None),
        ("compress=auto", None, None),
        ("compress=auto", "", None),
        ("compress=auto", "*", "zstd"),
        ("compress=auto", "zstd;q=0, *", "gzip"),
        ("compress=auto", "zstd;q=0.5, gzip;q=0.8", "gzip"),
        ("compress=auto", "GZIP ; Q=0.8 ,zstd;q=0", "gzip"),
        ("compress=auto", "x-gzip", "gzip"),
        ("compress=auto", ["identity", "gzip;q=0.1"], "gzip"),
        ("compress=auto", "gzip;q=0, zstd;q=0.000", None),
        ("compress=auto", "identity;q=0", None),
        ("compress=gzip", "zstd, gzip;q=0.1", "gzip"),
        ("compress=gzip", None, "gzip"),
        ("compress=zstd", "*;q=0.1", "zstd"),
    ],
)
def test_compress_takes_what_accept_encoding_admits(
    query: str, accept_encoding: str | list[str] | None, coding: str | None
) -> None:
    headers = {} if accept_encoding is None else {"accept_encoding": accept_encoding}
    request = StreamRequest.from_scope(scope(query=query, **headers))
    assert request.coding() == coding
    assert request.may_be_compressed is ("compress=" in query and query != "compress=")


@pytest.mark.parametrize(
    ("query", "accept_encoding", "detail"),
    [
        ("compress=br", "br", "^compress is 'br'; use auto, zstd, gzip, or leave it out"),
        ("compress=Gzip", "gzip", "^compress is 'Gzip'; use"),
        ("compress=" + "x" * 5_000, "gzip", "^compress is 'x{100}…'; use"),
        ("compress=gzip&compress=gzip", "gzip", "^compress was given more than once; give it once"),
        ("compress=zstd", "gzip", "^compress is 'zstd', but Accept-Encoding excludes it; send Accept-Encoding: zstd"),
        ("compress=gzip", "*;q=0", "^compress is 'gzip', but Accept-Encoding excludes it"),
        ("compress=gzip", "", "^compress is 'gzip', but Accept-Encoding excludes it"),
        ("compress=gzip", "gzip;q=0, *", "^compress is 'gzip', but Accept-Encoding excludes it"),
    ],
)
def test_a_compress_that_cannot_be_is_refused_with_what_to_do(query: str, accept_encoding: str, detail: str) -> None:
    with pytest.raises(InvalidCompression, match=detail):
        StreamRequest.from_scope(scope(query=query, accept_encoding=accept_encoding)).coding()


def test_what_else_is_asked_for_is_no_part_of_the_filter() -> None:
    request = asked("since=1&wiki=enwiki&until=2&limit=3&checkpoint=5&compress=gzip&stream=message")
    assert request.filter().text == "wiki=enwiki"
    assert not asked("since=1&until=2&limit=3&checkpoint=5&stream=message").filter()
