"""What schemas refer to: where it is looked for, and what is reported when it is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.schemas.registry import Schemas
from tests.support.around import config_server
from tests.support.around.config_server import ConfigServer
from tests.support.around.schemas import ONE, PATH, SECRET, at, catalogue, made, put

REFERRING = json.dumps({"title": "x", "properties": {"meta": {"$ref": "/fragment/meta/1.0.0#/definitions/meta"}}})
FRAGMENT = "definitions: {meta: {title: %s}}"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[ConfigServer]:
    with ConfigServer() as server:
        yield server


def meta_title(schemas: Schemas) -> Any:
    schema = schemas.of("a")
    return schema and schema.document["$defs"]["fragment.meta.1.0.0"]["definitions"]["meta"]["title"]


async def test_references_are_looked_for_below_all_bases_and_refreshed_with_the_schema(tmp_path: Path) -> None:
    first = put(tmp_path / "first", PATH, REFERRING)
    second = put(tmp_path / "second", "/fragment/meta/1.0.0", FRAGMENT % "one")
    schemas = made(first, second)
    assert await schemas.refresh(ONE)
    assert meta_title(schemas) == "one"
    put(tmp_path / "second", "/fragment/meta/1.0.0", FRAGMENT % "two")
    await schemas.refresh(ONE)
    assert meta_title(schemas) == "two"
    assert schemas.problems == {}


@pytest.mark.parametrize("reference", ["../../fragment/meta/1.0.0#", "{base}/fragment/meta/1.0.0"])
async def test_a_reference_may_be_relative_or_the_whole_url_of_a_base(server: ConfigServer, reference: str) -> None:
    documents = {PATH: {"$ref": reference.format(base=at(server))}, "/fragment/meta/1.0.0": {"title": "x"}}
    server.answer = lambda request: config_server.document(documents[request.path])(request)
    options = {"headers": {"Authorization": SECRET}}
    schemas = made(at(server), schema_uri_options=options)
    await schemas.refresh(ONE)
    assert schemas.problems == {}
    found = schemas.of("a")
    assert found is not None
    assert found.document["$defs"] == {"fragment.meta.1.0.0": {"title": "x"}}
    assert [headers["authorization"] for _, headers in server.requests] == [SECRET, SECRET]


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        (
            "/fragment/none/1.0.0",
            "its $ref '/fragment/none/1.0.0' cannot be resolved: /fragment/none/1.0.0 was not found at any of",
        ),
        ("#/definitions/none", "its $ref '#/definitions/none' leads nowhere"),
        ("{server}/x", "/x' cannot be resolved: 'http://127.0.0.1:"),
        ("/../../secret", "cannot be resolved"),
        ("file://{folder}/secret", "is neither a path such as"),
    ],
)
async def test_a_reference_that_cannot_be_resolved_is_named_and_the_schema_is_not_used(
    tmp_path: Path, server: ConfigServer, caplog: pytest.LogCaptureFixture, reference: str, why: str
) -> None:
    put(tmp_path, "/secret", "title: secret")
    server.answer = config_server.document({"title": "secret"})
    base = put(tmp_path / "base", PATH, json.dumps({"$ref": reference.format(server=at(server), folder=tmp_path)}))
    schemas = made(base)
    assert await schemas.refresh(ONE)
    assert schemas.of("a") is None
    assert schemas.problems["a"].startswith(f"{base}{PATH}: it is broken: ")
    assert why in schemas.problems["a"]
    assert schemas.problems["a"] in caplog.text
    assert server.requests == []


async def test_a_reference_that_cannot_be_fetched_is_tried_again_and_the_last_good_schema_kept(
    server: ConfigServer, tmp_path: Path
) -> None:
    base = put(tmp_path, PATH, REFERRING)
    server.answer = config_server.document({"definitions": {"meta": {"title": "one"}}})
    schemas = made(base, at(server))
    assert await schemas.refresh(ONE)
    server.answer = config_server.status(500)
    assert not await schemas.refresh(ONE)
    assert meta_title(schemas) == "one"
    assert "could not be fetched" in schemas.problems["a"]


async def test_what_is_no_schema_is_broken(tmp_path: Path) -> None:
    schemas = made(put(tmp_path, PATH, "type: 7"))
    await schemas.refresh(ONE)
    assert schemas.of("a") is None
    assert "it is broken: not a valid JSON Schema: at /type: 7 is not" in schemas.problems["a"]


async def test_there_is_another_version_when_something_has_changed_and_only_then(tmp_path: Path) -> None:
    schemas = made(put(tmp_path, PATH, "title: x"))
    versions = []
    for text in ("title: x", "title: x", "title:  x", "title: y"):
        put(tmp_path, PATH, text)
        await schemas.refresh(ONE)
        versions.append(schemas.version)
    await schemas.refresh(catalogue(a={"$schema": PATH}, b={"$schema": PATH}))
    assert versions[0] == versions[1] == versions[2] < versions[3] < schemas.version
