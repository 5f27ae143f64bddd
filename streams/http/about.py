"""Name, version and home of the service, for `/_info` and the OpenAPI document."""

from __future__ import annotations

NAME = "eventstreams"
VERSION = "0.1.0"
DESCRIPTION = "Kafka topics to any number of HTTP clients, as Server-Sent Events or newline-delimited JSON"
HOME = "https://wikitech.wikimedia.org/wiki/Event_Platform/EventStreams_HTTP_Service"
