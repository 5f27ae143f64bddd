"""The schemas of streams: where they are looked for, what is kept when that fails, and what is reported of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.core.catalogue import Layers, compile_catalogue
from streams.schemas import registry as module
from streams.schemas.registry import Schemas
from streams.schemas.search import MAX_FAILURES, Schema
from tests.support.around import config_server
from tests.support.around.config_server import ConfigServer
from tests.support.around.schemas import ONE, PATH, SECRET, at, catalogue, made, put, titled
from tests.support.engine import cancel, eventually

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[ConfigServer]:
    with ConfigServer() as server:
        yield server


def counts(schemas: Schemas) -> dict[str, int]:
    return {
        state: int(schemas._metrics.registry.get_sample_value("eventstreams_schemas", {"state": state}) or 0)
        for state in ("found", "kept", "missing")
    }


# Where.


async def test_a_schema_is_found_by_its_uri_and_without_one_by_its_title_in_the_latest_version(tmp_path: Path) -> None:
    base = put(tmp_path, PATH, "title: by uri\n")
    put(tmp_path, "/mediawiki/page/current", json.dumps({"title": "by title"}))
    schemas = made(base, schema_latest_version="current")
    title = {"schema_title": "mediawiki/page"}
    assert await schemas.refresh(catalogue(both={"$schema": PATH, **title}, title=title, none={}))
    assert schemas.of("both") == Schema(f"{base}{PATH}", {"title": "by uri"})
    assert titled(schemas.of("title")) == "by title"
    assert schemas.of("none") is None
    assert schemas.problems == {}
    assert counts(schemas) == {"found": 2, "kept": 0, "missing": 0}


@pytest.mark.parametrize("base", ["{}", "{}/", "file://{}"])
async def test_a_base_is_a_path_or_a_url_with_or_without_a_slash(tmp_path: Path, base: str) -> None:
    put(tmp_path, PATH, "title: x")
    schemas = made(base.format(tmp_path))
    await schemas.refresh(ONE)
    assert titled(schemas.of("a")) == "x"


async def test_the_first_base_that_has_it_wins_and_one_that_is_not_there_is_passed_over(
    tmp_path: Path, server: ConfigServer
) -> None:
    second = put(tmp_path / "second", PATH, "title: second")
    third = put(tmp_path / "third", PATH, "title: third")
    schemas = made(str(tmp_path / "absent"), at(server), second, third)
    assert await schemas.refresh(ONE)
    assert [path for path, _ in server.requests] == [PATH]
    assert titled(schemas.of("a")) == "second"


async def test_a_base_that_fails_is_passed_over_and_said(tmp_path: Path, server: ConfigServer) -> None:
    server.answer = config_server.status(503)
    schemas = made(at(server), put(tmp_path, PATH, "title: second"))
    assert not await schemas.refresh(ONE), "it is worth trying again soon: the first base may have another one"
    assert titled(schemas.of("a")) == "second"
    assert "503" in schemas.problems["a"]
    assert schemas.problems["a"].endswith(f"it was found at {tmp_path}{PATH}")
    assert counts(schemas) == {"found": 1, "kept": 0, "missing": 0}
    assert not await schemas.refresh(ONE)
    assert titled(schemas.of("a")) == "second"
    assert counts(schemas) == {"found": 0, "kept": 1, "missing": 0}
    schemas = made(at(server), str(tmp_path / "absent"))
    assert not await schemas.refresh(ONE)
    assert "503" in schemas.problems["a"]
    assert counts(schemas) == {"found": 0, "kept": 0, "missing": 1}


async def test_what_no_base_has_is_missing_and_says_where_it_was_looked_for(
    tmp_path: Path, server: ConfigServer
) -> None:
    schemas = made(str(tmp_path), at(server).replace("//", "//user:password@") + "/x?token=s3cret")
    assert await schemas.refresh(ONE)
    assert schemas.of("a") is None
    assert schemas.problems["a"].startswith(f"{PATH} was not found at any of {tmp_path}, http://***@127.0.0.1")
    assert "password" not in schemas.problems["a"]
    assert "s3cret" not in schemas.problems["a"]
    assert [path for path, _ in server.requests] == [f"/x{PATH}?token=s3cret"]
    assert counts(schemas) == {"found": 0, "kept": 0, "missing": 1}


async def test_streams_with_the_same_schema_share_one_fetch(server: ConfigServer) -> None:
    server.answer = config_server.document({"title": "x"})
    schemas = made(at(server))
    await schemas.refresh(catalogue(a={"$schema": PATH}, b={"$schema": PATH}))
    assert len(server.requests) == 1
    assert titled(schemas.of("b")) == "x"


async def test_a_link_that_became_text_is_followed_beside_it_and_not_in_a_circle(tmp_path: Path) -> None:
    base = put(tmp_path, "/a/latest", "1.0.0")
    put(tmp_path, "/a/1.0.0", "1.0.0.yaml")
    put(tmp_path, "/a/1.0.0.yaml", "title: x")
    put(tmp_path, "/b/latest", "latest")
    put(tmp_path, "/c/latest", "../a/1.0.0.yaml")
    schemas = made(base)
    await schemas.refresh(catalogue(a={"schema_title": "a"}, b={"schema_title": "b"}, c={"schema_title": "c"}))
    assert schemas.of("a") == Schema(f"{base}/a/1.0.0.yaml", {"title": "x"})
    assert "too many links to follow" in schemas.problems["b"]
    assert "expected a mapping, found str" in schemas.problems["c"]


async def test_without_a_base_nothing_is_looked_for_and_nothing_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    schemas = made()
    assert await schemas.refresh(ONE)
    assert schemas.of("a") is None
    assert schemas.problems == {}
    assert caplog.messages == []


# What the configuration's data must not bring about.


@pytest.mark.parametrize(
    "uri",
    [
        "/../secret",
        "/x/../../secret",
        "/%2e%2e/secret",
        "/..\\secret",
        "//127.0.0.1/x",
        "{server}/x",
        "file://{folder}/secret",
        "{folder}/../secret",
        "/x?y",
        "x\x00",
    ],
)
async def test_a_schemas_uri_leads_nowhere_but_below_the_bases(tmp_path: Path, server: ConfigServer, uri: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    put(tmp_path, "/secret", "title: secret")
    server.answer = config_server.document({"title": "secret"})
    schemas = made(str(base), f"file://{base}")
    await schemas.refresh(catalogue(a={"$schema": uri.format(server=at(server), folder=tmp_path)}))
    assert schemas.of("a") is None
    assert "is neither a path such as" in schemas.problems["a"]
    assert server.requests == []


async def test_nor_does_a_title(tmp_path: Path) -> None:
    put(tmp_path, "/secret/latest", "title: secret")
    base = put(tmp_path / "base", PATH, "title: x")
    schemas = made(base)
    await schemas.refresh(catalogue(a={"schema_title": "../secret"}))
    assert schemas.of("a") is None
    assert "a" in schemas.problems


async def test_a_url_at_a_host_that_admins_may_use_is_asked_without_the_headers_of_the_bases(
    server: ConfigServer,
) -> None:
    server.answer = config_server.document({"title": "x"})
    options = {"headers": {"Authorization": SECRET}}
    schemas = made(admin_uri_hosts=(f"127.0.0.1:{server.port}",), schema_uri_options=options)
    await schemas.refresh(catalogue(a={"$schema": at(server, "/x")}))
    assert titled(schemas.of("a")) == "x"
    assert [headers.get("authorization") for _, headers in server.requests] == [None]


async def test_a_host_that_admins_may_use_leads_to_no_other_by_a_redirect_or_a_reference(server: ConfigServer) -> None:
    """Another port of the same machine is another server: its metrics, its database, a cloud's metadata."""
    with ConfigServer() as other:
        other.answer = config_server.document({"title": "secret"})
        schemas = made(admin_uri_hosts=(f"127.0.0.1:{server.port}",))
        for answer, problem in (
            (config_server.redirect(at(other, "/y")), "which is not followed"),
            (config_server.redirect(at(other, "/y").replace("127.0.0.1", "me@127.0.0.1")), "which is not followed"),
            (config_server.document({"$ref": at(other, "/y")}), "neither a path such as"),
        ):
            server.answer = answer
            await schemas.refresh(catalogue(a={"$schema": at(server, "/x")}))
            assert schemas.of("a") is None
            assert problem in schemas.problems["a"]
        schemas = made("/absent", admin_uri_hosts=(f"127.0.0.1:{server.port}",))
        await schemas.refresh(catalogue(a={"$schema": at(other, "/y")}))
        assert "neither a path such as" in schemas.problems["a"]
        assert other.requests == []
        server.answer = config_server.only_at(
            "/y", config_server.document({"title": "x"}), config_server.redirect("/y")
        )
        await schemas.refresh(catalogue(a={"$schema": at(server, "/x")}))
        assert titled(schemas.of("a")) == "x"


async def test_the_headers_go_to_the_bases_and_into_no_message(
    server: ConfigServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = config_server.status(500)
    schemas = made(at(server), schema_uri_options={"headers": {"Authorization": SECRET}})
    await schemas.refresh(ONE)
    assert [headers["authorization"] for _, headers in server.requests] == [SECRET]
    assert "the answer is 500" in schemas.problems["a"]
    assert SECRET not in caplog.text + schemas.problems["a"]


# What fails.


async def test_a_fetch_that_fails_keeps_the_last_good_schema_and_says_so(
    server: ConfigServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = put(tmp_path, PATH, "title: other")
    server.answer = config_server.document({"title": "x"})
    schemas = made(at(server), other)
    assert await schemas.refresh(ONE)
    server.answer = config_server.status(500)
    assert not await schemas.refresh(ONE)
    assert titled(schemas.of("a")) == "x"
    assert schemas.problems["a"].endswith("the answer is 500 Internal Server Error; the last good one is kept")
    assert "the last good one is kept" in caplog.text
    assert counts(schemas) == {"found": 0, "kept": 1, "missing": 0}
    server.answer = config_server.document({"title": "y"})
    assert await schemas.refresh(ONE)
    assert titled(schemas.of("a")) == "y"
    assert schemas.problems == {}
    assert counts(schemas) == {"found": 1, "kept": 0, "missing": 0}


async def test_a_schema_that_was_taken_away_is_not_kept(server: ConfigServer) -> None:
    server.answer = config_server.document({"title": "x"})
    schemas = made(at(server))
    await schemas.refresh(ONE)
    server.answer = config_server.status(404)
    assert await schemas.refresh(ONE)
    assert schemas.of("a") is None
    assert "a" in schemas.problems


@pytest.mark.parametrize(
    "body", [b"<html>{", b"[1]", b"words and words", b"", b"\xff", b"a: &a [*a]", b"title: \x00", b"a: .nan"]
)
async def test_what_is_no_schema_is_broken_and_the_last_good_one_is_kept(server: ConfigServer, body: bytes) -> None:
    server.answer = config_server.document({"title": "x"})
    schemas = made(at(server))
    both = catalogue(a={"$schema": PATH}, b={"$schema": "/b/1"})
    await schemas.refresh(ONE)
    server.answer = config_server.status(200, body)
    await schemas.refresh(both)
    assert titled(schemas.of("a")) == "x"
    assert schemas.of("b") is None
    assert sorted(schemas.problems) == ["a", "b"]
    assert counts(schemas) == {"found": 0, "kept": 1, "missing": 1}


async def test_a_schema_that_has_not_changed_is_not_sent_again(server: ConfigServer) -> None:
    server.answer = config_server.document({"title": "x"})
    schemas = made(at(server))
    await schemas.refresh(ONE)
    first = schemas.of("a")
    await schemas.refresh(ONE)
    await schemas.refresh(ONE)
    assert ["if-none-match" in headers for _, headers in server.requests] == [False, True, True]
    assert schemas.of("a") == first
    assert schemas.problems == {}


async def test_a_base_that_fails_again_and_again_is_left_alone_until_the_next_refresh(server: ConfigServer) -> None:
    server.answer = config_server.status(503)
    schemas = made(at(server))
    many = catalogue(**{f"s{number}": {"$schema": f"/s/{number}"} for number in range(60)})
    assert not await schemas.refresh(many)
    assert MAX_FAILURES <= len(server.requests) <= MAX_FAILURES + module.AT_ONCE
    assert len(schemas.problems) == 60


async def test_the_log_says_what_is_missing_once_and_briefly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    schemas = made(put(tmp_path, "/s/0", "title: x"))
    many = catalogue(**{f"s{number}": {"$schema": f"/s/{number}"} for number in range(60)})
    await schemas.refresh(many)
    await schemas.refresh(many)
    (line,) = caplog.messages
    assert line.startswith(
        "Schemas of streams: 1 found, 59 missing, 0 kept from before. s1: /s/1 was not found at any of"
    )
    assert "and 54 more streams" in line
    put(tmp_path, "/s/1", "title: y")
    await schemas.refresh(many)
    assert len(caplog.messages) == 2


# When.


async def running(schemas: Schemas, until: Callable[[], object]) -> None:
    task = asyncio.create_task(schemas.run_forever())
    try:
        await eventually(until)
    finally:
        await cancel(task)


async def test_a_new_catalogue_is_looked_through_in_the_background(tmp_path: Path) -> None:
    schemas = made(put(tmp_path, PATH, "title: x"))
    schemas.set_catalogue(catalogue(a={}))

    def found() -> bool:
        schemas.set_catalogue(ONE)
        return schemas.of("a") is not None

    await running(schemas, found)


async def test_with_a_ttl_schemas_are_refreshed_again_and_again(tmp_path: Path) -> None:
    base = put(tmp_path, PATH, "title: x")
    schemas = made(base, stream_config_ttl=0.01)
    schemas.set_catalogue(ONE)
    task = asyncio.create_task(schemas.run_forever())
    await eventually(lambda: titled(schemas.of("a")) == "x")
    put(tmp_path, PATH, "title: y")
    await eventually(lambda: titled(schemas.of("a")) == "y")
    await cancel(task)


async def test_without_a_ttl_only_a_failure_is_tried_again(
    server: ConfigServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEARCH_RETRY_SECONDS", 0.01)
    server.answer = config_server.status(500)
    schemas = made(at(server))
    schemas.set_catalogue(ONE)
    task = asyncio.create_task(schemas.run_forever())
    await eventually(lambda: len(server.requests) > 2)
    server.answer = config_server.document({"title": "x"})
    await eventually(lambda: titled(schemas.of("a")) == "x")
    asked = len(server.requests)
    await asyncio.sleep(0.1)
    assert len(server.requests) == asked
    await cancel(task)


# All of it.


async def test_the_schemas_of_all_real_streams_are_found() -> None:
    streams = json.loads((DATA / "streamconfigs.json").read_text())["streams"]
    every = compile_catalogue(Layers(streams), 1)
    schemas = made(str(DATA / "schemas"))
    assert await schemas.refresh(every)
    for name in ("mediawiki.recentchange", "mediawiki.page_change.v1", "mediawiki.page-move"):
        schema = schemas.of(name)
        assert titled(schema) == every.streams[name].schema_title
    found = {name for name in every.streams if schemas.of(name)}
    assert found.isdisjoint(schemas.problems)
