"""No raw value of a listed domain is kept once it is encoded: the heap holds as little as possible."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType

import msgspec
import pytest

from redaction import redactor
from redaction.redactor import Redactor
from streams.core import events
from streams.core.events import Record
from streams.engine import encoder as engine
from streams.engine.encoder import Encoder
from streams.engine.metrics import Metrics

RU = b"ru.wikipedia.org"
REDACTOR = Redactor({RU.decode(): ["Listed"]})


def value(title: bytes, name: str, more: bytes = b"") -> bytes:
    return b'{"meta":{"domain":"%s"},"title":%s,"user":"%s"%s}' % (RU, title, name.encode(), more)


def reached(*roots: object) -> Iterator[bytes]:
    """All bytes and texts that are reached from here, other than by code."""
    seen: set[int] = set()
    waiting = [*roots]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (ModuleType, FunctionType, type)):
            continue
        seen.add(id(each))
        if isinstance(each, str):
            yield each.encode(errors="replace")
        elif isinstance(each, (bytes, bytearray, msgspec.Raw)):
            yield bytes(each)
        elif isinstance(each, msgspec.Struct):  # the collector does not look into those
            waiting += msgspec.structs.astuple(each)
        else:
            waiting += gc.get_referents(each)


@pytest.mark.parametrize("title", [b'"Listed"', b'"Other"', b"7", b'"\\ud800"', b'"\xff"', b'["Listed"]'], ids=ascii)
@pytest.mark.parametrize("more", [b"", b"}", b',"a":' + b"[" * 5000 + b"]" * 5000], ids=["", "broken", "deep"])
def test_nothing_refers_to_a_raw_value_after_it_was_encoded(
    title: bytes, more: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = Encoder(REDACTOR, Metrics())
    name = "Somebody who acted"
    raw = value(title, name, more)
    key = b"a key by %s" % name.encode()
    record = Record("t", 0, 5, 1, key, raw)
    before = sys.getrefcount(raw), sys.getrefcount(key)
    with caplog.at_level(logging.DEBUG):
        held = encoder.cacheable([record])
    assert name not in caplog.text
    assert all(type(item) is not Record for item in held)
    encoder.events([record])
    gc.collect()
    assert (sys.getrefcount(raw), sys.getrefcount(key)) == before
    # Nor is a part of it, by what is remembered of domains, titles and mistakes.
    roots = [encoder, REDACTOR, vars(redactor), vars(events), vars(engine)]
    assert not [kept for kept in reached(*roots) if name.encode() in kept]
    kept_all = [record, encoder]
    assert [kept for kept in reached(kept_all) if name.encode() in kept], "it is looked for"
