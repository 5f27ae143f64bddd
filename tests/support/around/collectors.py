"""A Sentry and an OpenTelemetry collector, as far as a service needs them: they keep what they are sent."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Takes POST requests at `url` and keeps their bodies, decompressed."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        """Path and body of each request."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = self.headers.get("Content-Length")
                body = self.rfile.read(int(length)) if length else b""
                encoding = self.headers.get("Content-Encoding", "")
                opened = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(encoding, bytes)(body)
                collector.bodies.append((self.path, opened))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def all_of(self, path: str) -> bytes:
        """Everything that came to a path, one after the other."""
        return b"\n".join(body for to, body in self.bodies if to.startswith(path))

    def sentry_events(self) -> list[Any]:
        """The events in the envelopes: JSON lines, of which every third is an event."""
        lines = [line for to, body in self.bodies if to.startswith("/api/") for line in body.split(b"\n") if line]
        found = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [each for each in found if "exception" in each or "logentry" in each]

    def spans(self) -> list[Any]:
        """The spans, as protobuf has them."""
        requests = [ExportTraceServiceRequest.FromString(body) for to, body in self.bodies if to == "/v1/traces"]
        groups = [scope for each in requests for resource in each.resource_spans for scope in resource.scope_spans]
        return [span for scope in groups for span in scope.spans]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """Wait until the condition is true; its value."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.05)
    return found


def attributes(span: Any) -> dict[str, Any]:
    """The attributes of a span."""
    return {each.key: each.value.int_value or each.value.string_value for each in span.attributes}
