"""Pieces of both codings: whatever stands alone may follow anything, and what was sent can be read at once."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.compress.codings import NAMES, NO_SUMS, Coding, Sums, codings
from tests.support.client.compressed import ZstdDecoder, decoder

EVENT = b'{"$schema":"/mediawiki/recentchange/1.0.0","meta":{"domain":"commons.wikimedia.org"},"n":%d,"x":"%b"}\n\n'
TEXTS = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.builds(lambda n, x: EVENT % (n, x), st.integers(0, 99), st.binary(max_size=300)),
    st.builds(lambda x, n: x * n, st.binary(min_size=1, max_size=9), st.integers(1, 40_000)),
)


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.tuples(st.sampled_from(["alone", "begin", "follow"]), TEXTS), max_size=12))
def test_pieces_in_any_order_that_is_allowed_are_a_whole_body(name: str, pieces: list[tuple[str, bytes]]) -> None:
    coding, reader = codings()[name], decoder(name)
    window, is_in_window, sums, whole, plain = coding.window(), False, NO_SUMS, coding.start, b""
    assert reader.feed(coding.start) == b""
    for kind, text in pieces:
        if kind == "alone" or (kind == "follow" and not is_in_window):
            piece, is_in_window = coding.alone(text), False
        else:
            piece, is_in_window = (window.begin if kind == "begin" else window.follow)(text), True
        assert reader.feed(piece) == text, "it can be read without what comes next"
        assert not reader.is_whole, "httpx takes that for the end"
        sums, whole, plain = sums.plus(text), whole + piece, plain + text
    reader.feed(coding.end(sums))
    assert reader.is_whole
    assert read_strictly(name, whole + coding.end(sums)) == plain


def read_strictly(name: str, body: bytes) -> bytes:
    """As a program does that has the whole body."""
    if name == "gzip":
        return gzip.decompress(body)
    reader = ZstdDecoder()
    reader.feed(body)
    return reader.plain


def compressed(coding: Coding, texts: list[bytes], others: list[bytes]) -> tuple[bytes, bytes]:
    """The same window twice: whole, and as somebody gets it who had other texts before."""
    window = coding.window()
    pieces = [window.begin(texts[0]), *map(window.follow, texts[1:])]
    return coding.start + b"".join(pieces), coding.start + b"".join([*map(coding.alone, others), *pieces])


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.lists(TEXTS, max_size=5))
def test_a_newcomer_enters_where_a_window_begins(name: str, texts: list[bytes], others: list[bytes]) -> None:
    first, second = compressed(codings()[name], texts, others)
    assert decoder(name).feed(first) == b"".join(texts)
    assert decoder(name).feed(second) == b"".join([*others, *texts])


@pytest.mark.parametrize("name", NAMES)
def test_a_window_makes_events_that_are_alike_small(name: str) -> None:
    coding = codings()[name]
    window = coding.window()
    window.begin(EVENT % (0, b"a" * 300))
    assert len(window.follow(EVENT % (1, b"a" * 300))) < len(coding.alone(EVENT % (1, b"a" * 300))) / 2


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50))
def test_sums_of_a_part_are_taken_over_from_sums_of_the_whole(before: bytes, part: bytes, own: bytes) -> None:
    start = NO_SUMS.plus(before)
    moved = NO_SUMS.plus(own).moved(start, start.plus(part))
    assert moved == Sums(zlib.crc32(own + part), len(own + part))


def test_the_length_in_the_trailer_wraps_around() -> None:
    assert codings()["gzip"].end(Sums(1, 2**32 + 5))[-4:] == (5).to_bytes(4, "little")
