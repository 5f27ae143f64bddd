"""Schemas as tests look for them: below folders and at servers, for streams of one topic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from streams.core.catalogue import Catalogue, Layers, compile_catalogue
from streams.engine.metrics import Metrics
from streams.schemas.registry import Schemas
from streams.schemas.search import Schema
from tests.support.around.config_server import ConfigServer

SECRET = "Bearer 48151-623"
PATH = "/mediawiki/page/1.0.0"


def made(*bases: str, **settings: Any) -> Schemas:
    defaults = {
        "schema_base_uris": bases,
        "schema_uri_options": {},
        "schema_latest_version": "latest",
        "admin_uri_hosts": (),
        "stream_config_ttl": 0.0,
    }
    config: Any = SimpleNamespace(**defaults | settings)
    return Schemas(config, Metrics())


def catalogue(**named: Mapping[str, Any]) -> Catalogue:
    return compile_catalogue(Layers({name: {"topics": ["t"], **settings} for name, settings in named.items()}), 1)


def put(base: Path, path: str, text: str) -> str:
    file = base / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return str(base)


def at(server: ConfigServer, path: str = "") -> str:
    return server.url.removesuffix("/streams") + path


def titled(schema: Schema | None) -> Any:
    return schema and schema.document.get("title")


ONE = catalogue(a={"$schema": PATH})
"""One stream, `a`, whose schema is at PATH."""
