"""The process that serves a page of the admin, as that page sees it.

Views run in threads; calls of the engine run on the process's event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
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
    def admin_uri_hosts(self) -> Collection[str]:
        """Hosts that admins may name in URLs of schemas."""


class StreamReader(Protocol):
    """A client with an open stream: the part of `streams.http.service.OpenStream` that the admin needs."""

    @property
    def stream_names(self) -> Collection[str]:
        """The canonical names of the streams that the client reads."""


class Settings(Protocol):
    """The part of the edge's settings that the admin needs."""

    @property
    def max_streams(self) -> int:
        """Maximum number of streams in one request."""

    @property
    def ui_enabled(self) -> bool:
        """Whether the demo page is served."""


class Running(Protocol):
    """The service of this process (`streams.http.service.Service`, a layer above this)."""

    @property
    def catalogue(self) -> Catalogue | None:
        """The streams that it exposes; None before they are known."""

    @property
    def clients(self) -> Iterable[StreamReader]:
        """Its open streams."""

    @property
    def hub(self) -> Hub:
        """Its reader of Kafka's tail."""

    @property
    def source(self) -> RecordSource:
        """Its connection to Kafka."""

    @property
    def refresh(self) -> Refresh:
        """Its refreshes of the stream configuration."""

    @property
    def schemas(self) -> Schemas:
        """The schemas of its streams."""

    @property
    def configured_pages(self) -> Mapping[str, Sequence[str]]:
        """The redacted pages of the configuration file: domain → titles."""

    @property
    def settings(self) -> Settings:
        """The settings of the edge."""

    def unready(self) -> list[str]:
        """Return why it is not ready."""

    def trouble(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return why the service, with all its workers, is not ready, and its problems besides."""

    @property
    def status(self) -> Callable[[], Awaitable[Mapping[str, Any]]] | None:
        """Returns the status of the whole service."""

    @property
    def behind(self) -> Callable[[], Mapping[str, float]]:
        """Returns what of the database is known late, with its age in seconds."""

    def degraded(self) -> list[str]:
        """Return its problems that do not make it unready."""


@dataclass(frozen=True, slots=True)
class _NoConfig:
    """The configuration of a page that the service does not serve: nothing is configured."""

    stream_config_uri: str | None = None
    stream_config_uri_options: Mapping[str, Any] = field(default_factory=dict)
    stream_config_object_path: str | None = None
    stream_config_defaults: Mapping[str, object] = field(default_factory=dict)
    stream_config_overrides: Mapping[str, object] = field(default_factory=dict)
    allowed_streams: Collection[str] | None = None
    admin_topics: Collection[str] | None = None
    admin_uri_hosts: Collection[str] = ()


def running(request: HttpRequest) -> Running | None:
    """Return the service that serves the request; None outside it (in a test, under another server)."""
    found: Running | None = getattr(request, "scope", {}).get(SERVICE_KEY)
    return found


def config_of(request: HttpRequest) -> AdminConfig:
    """Return the configuration of the service that serves the request."""
    process = running(request)
    if process is None:
        return _NoConfig()
    config: Any = process.refresh.config
    found: AdminConfig = config
    return found


def clients_of(process: Running | None, names: Collection[str]) -> int | None:
    """Return how many clients of this process read one of the streams now; None if unknown."""
    if process is None:
        return None
    wanted = set(names)
    # A copy: meanwhile the event loop adds and removes clients.
    return sum(1 for client in list(process.clients) if not wanted.isdisjoint(client.stream_names))
