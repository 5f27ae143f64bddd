"""Name, version and home of the service, for `/_info` and the OpenAPI document."""

from __future__ import annotations

NAME = "eventstreams"
VERSION = "1.0.0"
"""The one place of the version: pyproject.toml reads it; tests compare the image, the chart and the CHANGELOG."""
DESCRIPTION = "Kafka topics to any number of HTTP clients, as Server-Sent Events or newline-delimited JSON"
HOME = "https://wikitech.wikimedia.org/wiki/Event_Platform/EventStreams_HTTP_Service"
