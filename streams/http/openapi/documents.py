"""The OpenAPI document as bytes, made in a thread, once for each state of the streams and schemas."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any

import msgspec
import yaml

from streams.core.catalogue import Catalogue
from streams.http.answers import Body
from streams.http.made import Made, in_thread
from streams.http.openapi.sequences import with_sequences
from streams.schemas.registry import Schemas
from streams.schemas.search import Schema

_YAML: dict[str, Any] = {"Dumper": yaml.CSafeDumper, "allow_unicode": True, "sort_keys": False}


class Documents:
    """The newest document, as JSON and as YAML, each in OpenAPI 3.1 and, if `has_sequences`, in 3.2."""

    def __init__(self, max_streams: int, url_prefix: str = "") -> None:
        self._max_streams = max_streams
        self._url_prefix = url_prefix
        self._json: Made[Body] = Made()
        self._sequences: Made[Body] = Made()
        self._yaml: dict[bool, Made[Body]] = {False: Made(), True: Made()}

    async def json(self, catalogue: Catalogue, schemas: Schemas, *, has_sequences: bool = False) -> Body:
        """Return the document of these streams with their known schemas."""

        def make() -> Awaitable[Body]:
            known = {name: schema for name in catalogue.streams if (schema := schemas.of(name)) is not None}
            return asyncio.to_thread(_made, catalogue, known, self._max_streams, self._url_prefix)

        body = await self._json.of((catalogue, schemas.version), make)
        if not has_sequences:
            return body
        return await self._sequences.of(body.etag, in_thread(_as_sequences, body.plain))

    async def yaml(self, catalogue: Catalogue, schemas: Schemas, *, has_sequences: bool = False) -> Body:
        """Return the same as YAML, made of the JSON on the first request: few ask for it."""
        body = await self.json(catalogue, schemas, has_sequences=has_sequences)
        return await self._yaml[has_sequences].of(body.etag, in_thread(_as_yaml, body.plain))


def _made(catalogue: Catalogue, schemas: dict[str, Schema], max_streams: int, url_prefix: str) -> Body:
    # With the first document: drf-spectacular takes 22 MB of each worker and a fifth of its start.
    from streams.http.openapi.document import Generator  # noqa: PLC0415

    document = Generator(catalogue, schemas, max_streams).get_schema()
    if url_prefix:  # the paths stay as the wire contract has them
        document["servers"] = [{"url": url_prefix}]
    return Body.of(msgspec.json.encode(document))


def _as_sequences(document: bytes) -> Body:
    return Body.of(msgspec.json.encode(with_sequences(msgspec.json.decode(document))))


def _as_yaml(document: bytes) -> Body:
    return Body.of("".join(_yaml_pieces(msgspec.json.decode(document), depth=2)).encode())


def _yaml_pieces(mapping: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Yield its YAML in pieces, split down to `depth`: while libyaml writes a piece, no other thread runs."""
    for key, value in mapping.items():
        if depth and value and isinstance(value, Mapping):
            yield yaml.dump({key: {}}, **_YAML).removesuffix(" {}\n") + "\n"
            for piece in _yaml_pieces(value, depth - 1):
                yield textwrap.indent(piece, "  ")
        else:
            yield yaml.dump({key: value}, **_YAML)
