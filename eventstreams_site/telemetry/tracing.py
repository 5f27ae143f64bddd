"""Spans of requests and of refreshes of the stream configuration, to an OpenTelemetry collector.

A span has the route, never the path or the query: filters hold names. There is none for an event, and a stream's span
ends when the stream does. OpenTelemetry's own instrumentation of ASGI would make a span of each message, and record
addresses, queries and texts of exceptions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from eventstreams_site.telemetry.spans import Exporter, Processor
from streams.http.about import NAME, VERSION
from streams.http.headers import ASGIApp, is_private
from streams.http.requests import FLOW_EXTENSION, STREAM_PATH
from streams.http.service import ClientGone

UNTRACED = frozenset(("/healthz", "/readyz", "/metrics"))
"""Probes, of which there are many."""
ROUTES = frozenset(("/", "/schema/", "/rc", "/robots.txt", "/_info", "/v2/ui", "/v2/ui/", "/v2/ui/streams.json"))
METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"))
SYNC = "refresh of the stream configuration"
LONGEST_PARENT = 100
"""Maximum bytes of a `traceparent` that is read."""


class Tracing:
    """The spans of this process."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the collector's base URL, such as http://collector:4318."""
        resource = Resource.create({"service.name": NAME, "service.version": VERSION})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = Exporter(endpoint)
        self._processor = Processor(self._exporter)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer(NAME, VERSION)
        self._parents = TraceContextTextMapPropagator()

    @property
    def problem(self) -> str:
        """A sentence on why the collector does not get all spans; empty if it does."""
        return self._exporter.problem

    @property
    def lost(self) -> int:
        """Spans that the collector did not get."""
        return self._exporter.lost + self._processor.dropped

    def traced(self, app: ASGIApp) -> ASGIApp:
        """Return the application with a span around each request but probes."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] in UNTRACED:
                await app(scope, receive, send)
                return
            method = scope["method"] if scope["method"] in METHODS else "_OTHER"
            route = route_of(scope["path"])
            given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
            parent = self._parents.extract({"traceparent": given[:LONGEST_PARENT].decode("latin-1")})
            attributes = {"http.request.method": method, "http.route": route}
            span = self._tracer.start_span(f"{method} {route}", parent, SpanKind.SERVER, attributes)

            async def noting_status(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            try:
                await app(scope, receive, noting_status)
            except (asyncio.CancelledError, ClientGone):
                raise
            except BaseException:
                span.set_status(Status(StatusCode.ERROR))
                raise
            finally:
                flow = scope.get("extensions", {}).get(FLOW_EXTENSION)
                if flow is not None and route.startswith(STREAM_PATH):
                    span.set_attribute("eventstreams.events", flow.events)
                span.end()

        return application

    def synced(self, began: float, outcome: str) -> None:
        """Make the span of a refresh that began at this Unix time (seconds) and has ended now."""
        span = self._tracer.start_span(SYNC, start_time=int(began * 1e9), attributes={"eventstreams.outcome": outcome})
        if outcome == "failed":
            span.set_status(Status(StatusCode.ERROR))
        span.end(int(time.time() * 1e9))

    def close(self) -> None:
        """Send what is left; blocks, for half a minute at most."""
        self._provider.shutdown()


def route_of(path: str) -> str:
    """Return the route of a path, without what a client chose."""
    if path.startswith(STREAM_PATH):
        return f"{STREAM_PATH}{{streams}}"
    if is_private(path):
        return "/admin/"
    if path.startswith("/static/"):
        return "/static/{file}"
    if path.startswith("/_info/"):
        return "/_info/{name}"
    return path if path in ROUTES else "unknown"
