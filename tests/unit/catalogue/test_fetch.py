"""Fetching a document: whatever its server does, an end comes soon, and no secret gets into a message."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.catalogue import fetch as module
from streams.catalogue.fetch import NOT_MODIFIED, Fetched, FetchError, Validators, fetch, shown
from tests.support.around import config_server as does
from tests.support.around.config_server import ConfigServer

STREAMS = {"a": {"topics": ["t"]}, "ü": {"topics": ["u"]}}
TEXT = '{"a": {"topics": ["t"]}, "\\u00fc": {"topics": ["u"]}}'


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[ConfigServer]:
    with ConfigServer() as running:
        yield running


def fetched(server: ConfigServer, **headers: str) -> Fetched:
    answer = fetch(server.url, {"headers": headers})
    assert isinstance(answer, Fetched)
    return answer


def refused(uri: str, **headers: str) -> str:
    """The message of the error that fetching ends with."""
    with pytest.raises(FetchError) as caught:
        fetch(uri, {"headers": headers})
    assert caught.value.__cause__ is None, "what a cause says has not been looked through"
    return str(caught.value)


def test_a_document_is_fetched_over_http_with_the_configured_headers(server: ConfigServer) -> None:
    server.answer = does.document(STREAMS)
    assert fetched(server, Authorization="Bearer s3cret", **{"User-Agent": "mine"}).text == TEXT
    ((path, headers),) = server.requests
    assert path == "/streams"
    assert headers["authorization"] == "Bearer s3cret"
    assert headers["user-agent"] == "mine"
    assert "application/json" in headers["accept"]


def test_a_server_is_asked_for_changes_only_and_may_say_that_there_is_none(server: ConfigServer) -> None:
    server.answer = does.document(STREAMS)
    first = fetched(server)
    assert first.validators is not None
    assert first.validators.etag
    assert fetch(server.url, {}, first.validators) is NOT_MODIFIED
    server.answer = does.document({"b": {}})
    second = fetch(server.url, {}, first.validators)
    assert isinstance(second, Fetched)
    assert second.text == '{"b": {}}'
    assert second.validators != first.validators


def test_a_last_modified_does_where_there_is_no_etag(server: ConfigServer) -> None:
    server.answer = does.dated(STREAMS, "Mon, 23 Nov 2026 10:00:00 GMT")
    first = fetched(server)
    assert first.validators == Validators(None, "Mon, 23 Nov 2026 10:00:00 GMT")
    assert fetch(server.url, {}, first.validators) is NOT_MODIFIED


def test_not_modified_is_an_error_where_nothing_was_known(server: ConfigServer) -> None:
    server.answer = does.status(304)
    assert "the answer is 304" in refused(server.url)


RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT.encode())),
        ("x-gzip", gzip.compress(TEXT.encode())),
        ("GZIP", gzip.compress(TEXT.encode()) + bytes(100)),
        ("gzip", gzip.compress(TEXT[:9].encode()) + gzip.compress(b"") + gzip.compress(TEXT[9:].encode())),
        ("deflate", zlib.compress(TEXT.encode())),
        ("deflate", RAW_DEFLATE.compress(TEXT.encode()) + RAW_DEFLATE.flush()),
        ("identity", TEXT.encode()),
        ("", TEXT.encode()),
    ],
    ids=["gzip", "x-gzip", "padded", "members", "zlib", "raw", "identity", "none"],
)
@pytest.mark.parametrize("at_a_time", [1, 1 << 20])
def test_what_was_offered_is_undone(server: ConfigServer, encoding: str, body: bytes, at_a_time: int) -> None:
    server.answer = does.in_pieces(body, at_a_time, Content_Encoding=encoding)
    assert fetched(server).text == TEXT
    assert server.requests[0][1]["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("code", [204, 206, 400, 401, 404, 500, 503])
def test_any_answer_but_200_is_an_error_that_names_its_status(server: ConfigServer, code: int) -> None:
    server.answer = does.status(code)
    message = refused(server.url)
    assert message.startswith(f"{server.url}: the answer is {code}")


def test_a_hundred_megabytes_are_not_taken_whether_announced_or_not(server: ConfigServer) -> None:
    for announced in (True, False):
        server.sent = 0
        server.answer = does.large(100_000_000, announced=announced)
        assert f"larger than {module.MAX_BYTES} bytes" in refused(server.url)
        # What sockets hold on the way comes on top.
        assert server.sent < module.MAX_BYTES * (0 if announced else 1) + 12_000_000


def test_a_gzip_bomb_is_not_unfolded(server: ConfigServer) -> None:
    server.answer = does.bomb(200_000_000)
    tracemalloc.start()
    try:
        assert f"larger than {module.MAX_BYTES} bytes" in refused(server.url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * module.MAX_BYTES


@pytest.mark.parametrize("tail", [b"x" * 64, bytes(64), gzip.compress(b"")], ids=["garbage", "zeros", "members"])
def test_what_follows_the_end_of_gzip_costs_next_to_nothing(server: ConfigServer, tail: bytes) -> None:
    """It was kept, and copied again for each piece: seconds of CPU for 39 MB, and the document passed for good."""
    server.answer = does.followed_by(gzip.compress(TEXT.encode()), tail, 39_000_000, Content_Encoding="gzip")
    began = time.thread_time()
    message = refused(server.url)
    assert time.thread_time() - began < 2
    assert "bytes after the end of its gzip data" in message or "larger than" in message or "gzip members" in message
    assert server.sent < module.MAX_BYTES + 12_000_000


@pytest.mark.parametrize("at_once", [1, 1000])
def test_many_bombs_are_no_better_than_one(server: ConfigServer, at_once: int) -> None:
    body = gzip.compress(bytes(1_000_000)) * at_once
    server.answer = does.status(
        200,
        zlib.compress(bytes(200_000_000)) if at_once == 1 else body,
        Content_Encoding="deflate" if at_once == 1 else "gzip",
    )
    tracemalloc.start()
    try:
        assert f"larger than {module.MAX_BYTES} bytes" in refused(server.url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * module.MAX_BYTES


def test_exactly_the_largest_size_is_taken(server: ConfigServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    for body, encoding in ((b"x" * 1000, "identity"), (gzip.compress(b"x" * 1000), "gzip")):
        server.answer = does.status(200, body, Content_Encoding=encoding)
        assert len(fetched(server).text) == 1000
    for body, encoding in ((b"x" * 1001, "identity"), (gzip.compress(b"x" * 1001), "gzip")):
        server.answer = does.status(200, body, Content_Encoding=encoding)
        assert "larger than 1000 bytes" in refused(server.url)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (does.status(200, b"not gzip", Content_Encoding="gzip"), "not gzip"),
        (does.status(200, gzip.compress(b"x" * 100)[:-4], Content_Encoding="gzip"), "truncated"),
        (
            does.status(200, gzip.compress(b"x" * 100) + b"y", Content_Encoding="gzip"),
            "bytes after the end of its gzip",
        ),
        (does.status(200, zlib.compress(b"x" * 100) * 2, Content_Encoding="deflate"), "after the end of its deflate"),
        (does.status(200, gzip.compress(b"x") + gzip.compress(b"x")[:5], Content_Encoding="gzip"), "truncated"),
        (does.status(200, b"", Content_Encoding="gzip"), "truncated"),
        (does.status(200, b"\xff\xff", Content_Encoding="deflate"), "not deflate"),
        (does.status(200, b"x", Content_Encoding="br"), "'br'; only gzip and deflate were offered"),
        (does.status(200, b"x", Content_Encoding="zstd"), "'zstd'"),
        (does.status(200, b"x", Content_Encoding="gzip, gzip"), "'gzip, gzip'"),
        (does.status(200, b"a: \xff"), "not UTF-8 text .byte 3"),
        (does.cut_off(b"x" * 100, 50), "without sending complete"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_an_error(server: ConfigServer, answer: does.Answer, problem: str) -> None:
    server.answer = answer
    with pytest.raises(FetchError, match=problem):
        fetch(server.url, {})


def test_a_server_that_says_nothing_is_given_up(server: ConfigServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.2)
    server.answer = does.silence
    assert "no answer within 0.2 s" in refused(server.url)


@pytest.mark.parametrize("headers", [True, False])
def test_a_server_that_drips_is_given_up_although_each_drop_comes_in_time(
    server: ConfigServer, monkeypatch: pytest.MonkeyPatch, headers: bool
) -> None:
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.5)
    server.answer = does.dripping(headers=headers)
    began = time.monotonic()
    assert "no complete answer within 0.5 s" in refused(server.url)
    assert time.monotonic() - began < module.READ_SECONDS


def test_where_nobody_listens_the_error_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        assert refused(uri).startswith(f"{uri}: no connection: ")


def test_redirects_are_followed_but_not_many(server: ConfigServer) -> None:
    server.answer = does.only_at("/there", does.document(STREAMS), does.redirect("/there", 308))
    assert fetched(server).text == TEXT
    server.requests.clear()
    server.answer = does.redirect("/streams")
    assert f"more than {module.MAX_REDIRECTS} redirects" in refused(server.url)
    assert len(server.requests) == module.MAX_REDIRECTS + 1


@pytest.mark.parametrize("location", ["file:/etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_a_redirect_leads_nowhere_but_to_http(server: ConfigServer, location: str) -> None:
    server.answer = does.redirect(location)
    assert f"redirects to {location}" in refused(server.url)


def test_a_redirect_is_only_followed_to_where_it_may_lead(server: ConfigServer) -> None:
    with ConfigServer() as other:
        other.answer = does.document(STREAMS)
        server.answer = does.redirect(other.url)
        asked: list[str] = []
        with pytest.raises(FetchError, match=f"redirects to {other.url}, which is not followed"):
            fetch(server.url, {}, may_lead_to=lambda uri: bool(asked.append(uri)))
        assert asked == [other.url]
        assert other.requests == []


def test_the_headers_are_for_the_configured_server_and_no_other_that_it_redirects_to(server: ConfigServer) -> None:
    with ConfigServer() as other:
        other.answer = does.document(STREAMS)
        server.answer = does.redirect(other.url)
        assert fetched(server, **{"X-Key": "s3cret"}).text == TEXT
        assert server.requests[0][1]["x-key"] == "s3cret"
        assert "x-key" not in other.requests[0][1]


def test_headers_that_cannot_be_sent_are_refused_by_name_and_not_by_value() -> None:
    for value in ("s3cret\r\nX-Other: 1", "s3crét", "s3cret\0"):
        message = refused("http://127.0.0.1:9/x", **{"X-Key": value})
        assert "'X-Key'" in message
        assert "s3c" not in message


@pytest.mark.parametrize("uri", ["http://me:pa/s3cret@127.0.0.1/x", "http://", "http://[::1", "http://a:b:c/"])
def test_a_url_that_is_none_is_an_error_without_its_password(uri: str) -> None:
    message = refused(uri)
    assert message.endswith("it is not a valid URL")
    assert "s3cret" not in message


def test_nothing_that_is_secret_is_logged(server: ConfigServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    uri = f"http://me:s3cret@127.0.0.1:{server.port}/x?token=s3cret"
    server.answer = does.status(500)
    message = refused(uri, **{"X-Key": "s3cret"})
    server.answer = does.document(STREAMS)
    fetch(uri, {"headers": {"X-Key": "s3cret"}})
    for path, headers in server.requests:
        assert path == "/x?token=s3cret"
        assert headers["x-key"] == "s3cret"
        assert headers["authorization"].startswith("Basic ")
    assert "s3cret" not in message + caplog.text


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("https://h.example/w/api.php?action=streamconfigs&format=json", None),
        ("/etc/streams@home.yaml?token=1", None),
        ("file:///etc/a@b", None),
        ("https://raw.example:8443/repo@v1/x", None),
        ("http://[::1]:80/a@b", None),
        ("https://me:pw@h.example/x", "https://***@h.example/x"),
        ("HTTPS://me@h.example", "HTTPS://***@h.example"),
        ("https://me:p@w@h.example/x", "https://***@h.example/x"),
        ("https://me:p/w@h.example/x", "https://***@h.example/x"),
        ("https://h.example/?a=1&access_token=abc&b=2", "https://h.example/?a=1&access_token=***&b=2"),
        ("https://h.example/?API-Key=abc#f", "https://h.example/?API-Key=***#f"),
    ],
)
def test_a_uri_is_shown_without_what_is_secret_in_it(uri: str, text: str | None) -> None:
    assert shown(uri) == (text or uri)


# Files.


@pytest.mark.parametrize("prefix", ["", "file://", "file:", "FILE://localhost"])
def test_a_file_is_read_by_path_or_url(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "my streams").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    name = "my%20streams" if prefix else "my streams"
    assert fetch(f"{prefix}{tmp_path}/{name}", {}) == Fetched(TEXT, None)


def test_a_file_that_cannot_be_read_is_refused_by_path_and_cause(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"a: \xff")
    problems = {"absent": "No such file", "": "Is a directory", "pipe": "not a file", "latin": "not UTF-8"}
    for name, problem in problems.items():
        with pytest.raises(FetchError, match=problem) as caught:
            fetch(str(tmp_path / name), {})
        assert str(tmp_path / name) in str(caught.value)


def test_a_file_is_bounded_like_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    (tmp_path / "x").write_text("x" * 10)
    assert isinstance(fetch(str(tmp_path / "x"), {}), Fetched)
    (tmp_path / "x").write_text("x" * 11)
    with pytest.raises(FetchError, match="larger than 10 bytes"):
        fetch(str(tmp_path / "x"), {})


@pytest.mark.parametrize("uri", ["file://other.example.org/etc/x", "file:relative"])
def test_a_file_url_that_is_not_an_absolute_path_of_this_host_is_refused(uri: str) -> None:
    with pytest.raises(FetchError, match="absolute path on this host"):
        fetch(uri, {})
