"""The OpenAPI document is made once for each state of the streams and their schemas, and not on the event loop."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from streams.core.catalogue import Catalogue, Layers, compile_catalogue
from streams.http.openapi import document as module
from streams.http.openapi.document import Generator
from streams.http.openapi.documents import Documents


def catalogue(*names: str) -> Catalogue:
    return compile_catalogue(Layers({name: {"topics": ["t"], "description": "Ä: 'x'\n\n- y"} for name in names}), 1)


class Made:
    """How often a document was made, and in which threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[threading.Thread] = []
        self.fails = False

        def generator(*arguments: Any) -> Generator:
            self.threads.append(threading.current_thread())
            if self.fails:
                raise RuntimeError("not this time")
            return Generator(*arguments)

        monkeypatch.setattr(module, "Generator", generator)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


@pytest.fixture
def schemas() -> Any:
    return SimpleNamespace(version=1, of=lambda name: None)


async def test_it_is_made_once_in_a_thread_for_all_who_ask(made: Made, schemas: Any) -> None:
    documents, streams = Documents(50), catalogue("a")
    bodies = await asyncio.gather(*(documents.json(streams, schemas) for _ in range(5)))
    bodies.append(await documents.json(streams, schemas))
    assert all(body is bodies[0] for body in bodies)
    assert len(made.threads) == 1
    assert made.threads[0] is not threading.main_thread()


async def test_other_streams_or_schemas_make_another(made: Made, schemas: Any) -> None:
    documents, streams = Documents(50), catalogue("a")
    first = await documents.json(streams, schemas)
    second = await documents.json(catalogue("a", "b"), schemas)
    assert first.etag != second.etag
    schemas.version = 2
    third = await documents.json(catalogue("a", "b"), schemas)
    assert third.etag == second.etag, "what is the same has the same name"
    assert len(made.threads) == 3


async def test_as_yaml_it_says_the_same(made: Made, schemas: Any) -> None:
    documents, streams = Documents(50), catalogue("a", "b" * 200, "yes", "1.0", "ü")
    as_json = await documents.json(streams, schemas)
    as_yaml = await documents.yaml(streams, schemas)
    assert yaml.load(as_yaml.plain, yaml.CSafeLoader) == json.loads(as_json.plain)
    assert b"&id" not in as_yaml.plain
    assert as_yaml.etag != as_json.etag
    assert await documents.yaml(streams, schemas) is as_yaml
    assert len(made.threads) == 1
    other = await documents.yaml(catalogue("c"), schemas)
    assert b"/v2/stream/c:" in other.plain


async def test_compressed_it_is_the_same(schemas: Any) -> None:
    body = await Documents(50).json(catalogue("a"), schemas)
    assert gzip.decompress(body.gzipped) == body.plain


async def test_one_that_could_not_be_made_is_tried_again(made: Made, schemas: Any) -> None:
    documents, streams = Documents(50), catalogue("a")
    made.fails = True
    with pytest.raises(RuntimeError):
        await documents.json(streams, schemas)
    made.fails = False
    assert json.loads((await documents.json(streams, schemas)).plain)["paths"]
    assert len(made.threads) == 2


async def test_who_leaves_takes_it_from_nobody_else(schemas: Any) -> None:
    documents, streams = Documents(50), catalogue("a")
    leaving = asyncio.ensure_future(documents.json(streams, schemas))
    staying = asyncio.ensure_future(documents.json(streams, schemas))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).plain
