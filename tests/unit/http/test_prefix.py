"""Paths below a prefix that a proxy passes on or strips."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import get_script_prefix

from eventstreams_site.config.values import OWN
from streams.http.headers import PRIVATE_PATHS
from streams.http.prefix import below, mount, page, seen_path
from streams.http.public import PublicRoutes
from streams.http.requests import STREAM_PATH, request_uri


@pytest.mark.parametrize(
    ("path", "inner"),
    [
        ("/events/v2/stream/a", "/v2/stream/a"),
        ("/events/", "/"),
        ("/events", "/"),
        ("/v2/stream/a", "/v2/stream/a"),
        ("/events2/v2/ui", "/events2/v2/ui"),
        ("/events/events/x", "/events/x"),
        ("/a/events/x", "/a/events/x"),
    ],
)
def test_the_prefix_is_taken_off_once_where_it_is(path: str, inner: str) -> None:
    assert below("/events", path) == inner
    assert below("", path) == path


@pytest.mark.parametrize("sent", ["/events/v2/stream/a%2Cb?since=1", "/v2/stream/a%2Cb?since=1"])
def test_what_the_client_sees_has_the_prefix_whatever_the_proxy_does_with_it(sent: str) -> None:
    raw, _, query = sent.partition("?")
    scope: Any = {"path": raw.replace("%2C", ","), "raw_path": raw.encode(), "query_string": query.encode()}
    mount(scope, "/events")
    assert scope["path"] == "/v2/stream/a,b"
    assert seen_path(scope) == "/events/v2/stream/a,b"
    assert request_uri(scope) == "/events/v2/stream/a%2Cb?since=1"


def test_no_prefix_can_be_taken_for_a_path_of_the_service() -> None:
    paths = [*PublicRoutes()._routes, *PRIVATE_PATHS, STREAM_PATH, "/static/"]
    assert {path.split("/")[1] for path in paths} - {""} == set(OWN)


def test_a_page_leads_below_the_prefix_and_the_next_one_is_not_touched() -> None:
    assert 'href="/events/"' in page("413.html", {}, "/events")
    assert get_script_prefix() == "/"
    assert 'href="/"' in page("413.html", {}, "")
