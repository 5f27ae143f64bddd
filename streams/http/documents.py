"""The OpenAPI document as bytes, made once for each state of the streams and their schemas, in a thread."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from streams.core.catalogue import Catalogue
from streams.http.openapi import Generator
from streams.schema_search import Schema
from streams.schemas import Schemas

_YAML: dict[str, Any] = {"Dumper": yaml.CSafeDumper, "allow_unicode": True, "sort_keys": False}


@dataclass(frozen=True, slots=True)
class Body:
    """A representation, as it is and compressed (a twentieth of it); `etag` is weak, and so the same for both."""

    plain: bytes
    gzipped: bytes
    etag: str

    @classmethod
    def of(cls, plain: bytes) -> Body:
        return cls(plain, gzip.compress(plain, 6, mtime=0), f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"')


class Documents:
    """The newest document, as JSON and as YAML. Whoever asks while it is being made waits for the same one."""

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._catalogue: Catalogue | None = None
        self._version = -1
        self._json: asyncio.Future[Body] | None = None
        self._yaml: tuple[Body, asyncio.Future[Body]] | None = None
        """Made of which JSON."""

    async def json(self, catalogue: Catalogue, schemas: Schemas) -> Body:
        """The document of these streams, with the schemas that are known of them."""
        if self._json is None or self._catalogue is not catalogue or self._version != schemas.version:
            self._catalogue, self._version = catalogue, schemas.version
            known = {name: schema for name in catalogue.streams if (schema := schemas.of(name)) is not None}
            self._json = _in_thread(_made, catalogue, known, self._max_streams)
        made = self._json
        try:
            return await asyncio.shield(made)
        except Exception:
            if self._json is made:
                self._json = None  # the next one tries again
            raise

    async def yaml(self, catalogue: Catalogue, schemas: Schemas) -> Body:
        """The same as YAML, which few ask for: it is made of the JSON when somebody does."""
        body = await self.json(catalogue, schemas)
        if self._yaml is None or self._yaml[0] is not body:
            self._yaml = body, _in_thread(_as_yaml, body.plain)
        return await asyncio.shield(self._yaml[1])


def _in_thread(work: Callable[..., Body], *arguments: Any) -> asyncio.Future[Body]:
    return asyncio.ensure_future(asyncio.to_thread(work, *arguments))


def _made(catalogue: Catalogue, schemas: dict[str, Schema], max_streams: int) -> Body:
    return Body.of(msgspec.json.encode(Generator(catalogue, schemas, max_streams).get_schema()))


def _as_yaml(document: bytes) -> Body:
    return Body.of("".join(_yaml_pieces(msgspec.json.decode(document), depth=2)).encode())


def _yaml_pieces(mapping: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Its YAML, taken apart as far as `depth`: libyaml lets no other thread run while it writes a piece."""
    for key, value in mapping.items():
        if depth and value and isinstance(value, Mapping):
            yield yaml.dump({key: {}}, **_YAML).removesuffix(" {}\n") + "\n"
            for piece in _yaml_pieces(value, depth - 1):
                yield textwrap.indent(piece, "  ")
        else:
            yield yaml.dump({key: value}, **_YAML)
