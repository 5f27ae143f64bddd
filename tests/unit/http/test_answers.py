"""Answers from memory."""

from __future__ import annotations

from typing import Any

import pytest

from streams.http.answers import JSON, Body, answer, send_answer

BODY = Body.of(b"x" * 1000)


@pytest.mark.parametrize(
    ("accept_encoding", "is_gzipped"),
    [
        (b"gzip, deflate, br", True),
        (b"br;q=1, GZIP;q=0.2", True),
        (b"*", True),
        (b"br", False),
        (b"gzip;q=0, br", False),
        (b"gzip;Q=0", False),
        (b"gzip ; q = 0.000", False),
        (b"*;q=0", False),
        (b"not-gzip-but-alike", False),
        (None, False),
    ],
)
async def test_a_body_is_compressed_for_those_who_accept_that(accept_encoding: bytes | None, is_gzipped: bool) -> None:
    headers = [(b"accept-encoding", accept_encoding)] if accept_encoding is not None else []
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await send_answer({"method": "GET", "headers": headers}, send, answer(BODY, JSON))
    told = dict(sent[0]["headers"])
    assert sent[1]["body"] == (BODY.gzipped if is_gzipped else BODY.plain)
    assert told.get(b"Content-Encoding") == (b"gzip" if is_gzipped else None)
    assert (told[b"Vary"], told[b"Content-Length"]) == (b"Accept-Encoding", b"%d" % len(sent[1]["body"]))
