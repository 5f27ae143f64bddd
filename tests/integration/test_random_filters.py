"""Any query is answered with 200 or 400 `invalid_filter`, at once; never with a traceback.

10,000 of them with the thorough profile.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.conftest import Supply
from tests.integration.kit import T0, Broker, Feed, Rec
from tests.support.site import Site

SECONDS = 10.0
"""Maximum time of one answer: generous, for a busy machine. A predicate that backtracked would take longer."""
_NAMES = "wiki domain type namespace title user bot minor patrolled canary where where limit checkpoint x"
NAMES = st.sampled_from(_NAMES.split(" "))
WORDS = """a enwiki ! = == , * *. /* . - 0 9 1e999 -1 true false null " < >= ^= *= != _ : a.b list.x tags meta.domain
title $schema @ ü ß İ 😀 (a+)+$ % & + #"""
PIECES = st.sampled_from([*WORDS.split(), " ", "\u200b", "\ud7ff", "\0", "\n", "a" * 300, "9" * 300])
TEXTS = st.one_of(st.lists(PIECES, max_size=6).map("".join), st.text(max_size=8))
PARTS = st.one_of(
    st.tuples(NAMES, TEXTS).map(lambda pair: f"{pair[0]}={quote(pair[1], safe='=!*.,')}"),
    st.tuples(NAMES, st.binary(max_size=6)).map(lambda pair: f"{pair[0]}={quote_from_bytes(pair[1])}"),
    st.sampled_from(["&", "=", "wiki", "%", "wiki=%", "where=%zz", "where=a.b.c.d.e", "where=!tags"]),
)
QUERIES = st.lists(PARTS, max_size=5).map("&".join)


@pytest.fixture(scope="module")
def odd(kafka: Any, supply: Supply) -> Feed:
    """Events that predicates may stumble over; not too few, so that a slow one would be seen."""
    feed = supply.take("one")
    deep: Any = "end"
    for _ in range(200):
        deep = {"a": deep}
    events: list[Any] = [
        {"wiki": "enwiki", "title": "a" * 5000, "type": "edit", "tags": ["a"] * 500},
        {"list": [{"x": n} for n in range(99)]},
        {"a": {"b": deep}, "title": "İ" * 500, "user": "\u200b" * 500, "namespace": 10**300, "bot": "true"},
        b'{"n":1e999999999,"a":{"b":-0.0},"tags":"\\ud800","meta":{"domain":"canary"},"namespace":1.0}',
        {"meta": {"domain": None}, "a": [], "list": {"x": [[[[1]]]]}, "tags": [[], {}, None, True]},
    ]
    asyncio.run(Broker(kafka.bootstrap).send(feed.topic, *(Rec(event, T0 + n) for n, event in enumerate(events * 5))))
    return feed


@pytest.mark.timeout(900)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(queries=st.lists(QUERIES, min_size=34, max_size=34))
def test_a_random_query_is_answered_at_once(queries: list[str], site: Site, odd: Feed) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=SECONDS)
    for number, query in enumerate(queries):
        # Each sixth time the predicate is applied, to all of the stream's events.
        method = "HEAD" if number % 6 else "GET"
        began = time.monotonic()
        connection.request(method, f"{odd.path}?since={T0}&until={T0 + 1000}&{query}")
        answer = connection.getresponse()
        body = answer.read()
        assert time.monotonic() - began < SECONDS
        assert answer.status in (200, 400), query
        if answer.status == 400 and body:
            problem = json.loads(body)
            assert problem["type"] == "invalid_filter", (query, problem)
            assert len(problem["detail"]) < 800
        elif body:
            assert body.endswith(b"}\n\n"), query  # of `event: end`
    connection.close()
    assert "Traceback" not in site.log.read_text()
    assert site.metric("eventstreams_faults_total") == 0
