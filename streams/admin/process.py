"""The process that serves a page of the admin, as that page sees it.

The views run in threads of their own; what is asked of the engine is asked on the process's event loop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.http import HttpRequest

from streams.catalogue.database import StreamConfigSource
from streams.catalogue.refresh import Refresh
from streams.core.catalogue import Catalogue
from streams.engine.source import RecordSource
from streams.engine.tail.hub import Hub
from streams.schemas.registry import Schemas

SERVICE_KEY = "eventstreams.service"
"""The ASGI scope's key of the service (streams.http.service, a layer above this)."""


class AdminConfig(StreamConfigSource, Protocol):
    """The part of the service's configuration that the admin needs."""

    @property
    def admin_uri_hosts(self) -> Collection[str]: ...


class Client(Protocol):
    @property
    def stream_names(self) -> Collection[str]: ...


class Settings(Protocol):
    @property
    def max_streams(self) -> int: ...


class Running(Protocol):
    """The service of this process (`streams.http.service.Service`, a layer above this)."""

    @property
    def catalogue(self) -> Catalogue | None: ...
    @property
    def clients(self) -> Iterable[Client]: ...
    @property
    def hub(self) -> Hub: ...
    @property
    def source(self) -> RecordSource: ...
    @property
    def refresh(self) -> Refresh: ...
    @property
    def schemas(self) -> Schemas: ...
    @property
    def configured_pages(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def settings(self) -> Settings: ...
    def unready(self) -> list[str]: ...
    def degraded(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class _NoConfig:
    """Where a page is not served by the service: nothing is configured."""

    stream_config_uri: str | None = None
    stream_config_uri_options: Mapping[str, Any] = field(default_factory=dict)
    stream_config_object_path: str | None = None
    stream_config_defaults: Mapping[str, object] = field(default_factory=dict)
    stream_config_overrides: Mapping[str, object] = field(default_factory=dict)
    allowed_streams: Collection[str] | None = None
    admin_topics: Collection[str] | None = None
    admin_uri_hosts: Collection[str] = ()


def running(request: HttpRequest) -> Running | None:
    """None outside of the service (in a test, under another server)."""
    found: Running | None = getattr(request, "scope", {}).get(SERVICE_KEY)
    return found


def config_of(request: HttpRequest) -> AdminConfig:
    process = running(request)
    if process is None:
        return _NoConfig()
    config: Any = process.refresh.config
    found: AdminConfig = config
    return found


def clients_of(process: Running | None, names: Collection[str]) -> int | None:
    """How many clients of this process follow one of the streams now; None where that is not known."""
    if process is None:
        return None
    wanted = set(names)
    # The event loop goes on adding and removing: what is looked at is a copy.
    return sum(1 for client in list(process.clients) if not wanted.isdisjoint(client.stream_names))
