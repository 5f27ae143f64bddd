"""The settings of the service, each written once: name, type, rule, default and help.

The keys are those of the service that this one replaces. Source: wire contract, "Configuration". The README's table is
this one: a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from eventstreams_site.config import values

_MIB = 1024 * 1024
_TIB = 1024 * 1024 * _MIB
_MANY = 10_000_000
"""More connections, and more redacted pages, than a service has."""


def _setting(
    parse: Callable[[object, Path], Any],
    default: object,
    help: str,
    *,
    shown: str | None = None,
    secret: bool = False,
    null_counts: bool = False,
) -> Any:  # what dataclasses take for a field
    about = {"parse": parse, "help": help, "shown": shown, "secret": secret, "null_counts": null_counts}
    return field(default_factory=lambda: default, repr=not secret, metadata=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration of one process. Secret values are not in the repr."""

    stream_config_uri: str | None = _setting(
        values.uri,
        None,
        "where the streams are described: path or URL (`file:`, `http:`, `https:`) of YAML or JSON; without "
        "it, `stream_config_overrides` describes them",
        shown="none",
    )
    stream_config_uri_options: Mapping[str, Any] = _setting(
        values.uri_options,
        {},
        "for `http:` — `headers`, a mapping of names to texts",
        secret=True,
    )
    stream_config_object_path: str | None = _setting(
        values.text("keys joined by dots"),
        None,
        "keys joined by dots that lead to the mapping of streams inside that document",
        shown="none",
    )
    stream_config_ttl: float = _setting(
        values.seconds(0.1, why="more often, it would only load its source", or_zero=True),
        0.0,
        "seconds between refreshes of the stream configuration and the schemas; 0: they are read once",
    )
    stream_config_defaults: Mapping[str, Mapping[str, Any]] = _setting(
        values.stream_settings,
        {},
        "stream name → settings for what the stream's description lacks, merged deeply; an entry with `topics` is a "
        "whole stream, even if nothing else describes it",
    )
    stream_config_overrides: Mapping[str, Mapping[str, Any]] = _setting(
        values.stream_settings,
        {},
        "stream name → settings that replace those of the stream's description, merged deeply; a stream that nothing "
        "else describes is added",
    )
    allowed_streams: tuple[str, ...] | None = _setting(
        values.texts,
        None,
        "the only streams that are exposed, by canonical name",
        shown="all",
    )
    schema_base_uris: tuple[str, ...] = _setting(
        values.uris,
        (),
        "where the service looks for schemas and for what their `$ref`s name, in this order: paths or URLs",
    )
    schema_uri_options: Mapping[str, Any] = _setting(
        values.uri_options,
        {},
        "as `stream_config_uri_options`, for schemas",
        secret=True,
    )
    schema_latest_version: str = _setting(
        values.text("text; quote it if it looks like a number"),
        "latest",
        "the version in the path of a schema that is found by its title",
    )
    admin_uri_hosts: tuple[str, ...] = _setting(
        values.hosts,
        (),
        "hosts of `http(s):` URLs that admins may give a stream as `$schema`, such as `schema.example.org` "
        "(ports 80 and 443) or `schema.example.org:8443`; the service follows redirects to these hosts only. "
        "If empty, admins may only give paths, which are looked up below `schema_base_uris`",
    )
    admin_topics: tuple[str, ...] | None = _setting(
        values.texts,
        None,
        "patterns (`*`, `?`, `[…]`) of the topics that admins may give a stream, such as `eqiad.mediawiki.*`; "
        "without them, the topics of all streams that are fetched or in this file. Kafka's own topics "
        "(`__consumer_offsets`) need a pattern that begins with `__`",
        shown="those of the configuration",
    )
    client_ip_connection_limit: int = _setting(
        values.integer(0, _MANY),
        0,
        "concurrent connections of one client address (IPv6: of one /64), over all workers and, with `redis_url`, over "
        "all replicas; 0: any number",
    )
    mediawiki_redacted_pages: Mapping[str, tuple[str, ...]] = _setting(
        values.redacted_pages,
        {},
        "domain → list of page titles, taken literally, even `007` (impossible titles, such as URLs, stop startup); "
        "they are redacted in addition to those that admins list ([docs/redaction.md](docs/redaction.md))",
    )
    redacted_pages_min: int = _setting(
        values.integer(0, _MANY),
        0,
        "redacted pages that the database must have: while it has fewer (the wrong database, a lost list) the "
        "server is not ready and new streams get the error `no_redaction_list`; pages that are held count as well "
        "([docs/redaction.md](docs/redaction.md))",
    )
    cors: str = _setting(
        values.cors_origin,
        "*",
        "the value of `Access-Control-Allow-Origin`: `*` or one origin; `false` or empty: no cross-origin access",
        null_counts=True,
    )
    stream_ui_enabled: bool = _setting(
        values.boolean,
        False,
        "whether to serve the demo page (`/v2/ui`); if so, `/` leads to it, else to the documentation",
    )
    kafka: Mapping[str, Any] = _setting(
        values.mapping,
        {},
        "librdkafka's settings: `metadata.broker.list`, `security.protocol`, `ssl.*`, `sasl.*`, `fetch.*` and "
        "others; a warning names each setting that has no counterpart. `metadata.broker.list: memory`: no Kafka, the "
        "server keeps invented events in its memory (for a first look)",
        secret=True,
    )
    url_prefix: str = _setting(
        values.url_prefix,
        "",
        "the path below which a proxy shows the service, such as `/events`: all links, redirects and cookies are below "
        "it. The proxy may pass it on or strip it ([docs/deployment.md](docs/deployment.md#below-a-path))",
        shown="none",
    )
    keepalive_seconds: float = _setting(
        values.seconds(0.1, 3_600, "proxies close connections that are silent for a minute", or_zero=True),
        15.0,
        "idle seconds after which the server sends a sign of life; 0: never",
    )
    max_streams: int = _setting(
        values.integer(1, 10_000),
        50,
        "streams that one request can join",
    )
    client_ip_header: str = _setting(
        values.matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of a header"),
        "X-Client-IP",
        "the header that holds the client's address, believed only from `trusted_proxies`, which must set it "
        "themselves",
    )
    trusted_proxies: tuple[values.Network, ...] = _setting(
        values.networks,
        values.PRIVATE_NETWORKS,
        "networks whose peers are believed",
        shown="loopback and private networks",
    )
    redis_url: str | None = _setting(
        values.url(r"rediss?://[^\s/?#]+(?:/\d*)?(?:\?\S*)?|unix://\S+", "a redis://, rediss:// or unix:// URL"),
        None,
        "a Redis in which all replicas count their connections together, so that `client_ip_connection_limit` and "
        "`max_connections` hold for all of them. While Redis is away, they hold for each host separately. Redis "
        "keeps the addresses of connected clients, and those of a replica that ends for at most 15 seconds more",
        shown="none",
        secret=True,
    )
    max_connections: int = _setting(
        values.integer(0, _MANY),
        10_000,
        "concurrent connections of the server, over all its workers and, with `redis_url`, over all replicas; 0: any "
        "number",
    )
    max_feeds: int = _setting(
        values.integer(1, 1_000_000),
        5_000,
        "different subscriptions (a choice of streams and a filter) that the clients of one server process may have at "
        "the same time; beyond that, a client with a new filter gets the error `overloaded`",
    )
    history_readers: int = _setting(
        values.integer(1, 1_000),
        8,
        "clients that may read, at the same time, events older than those in memory",
    )
    ring_bytes: int = _setting(
        values.integer(1024, _TIB, "with less, it would hold no event"),
        8 * _MIB,
        "maximum bytes of the newest events of each partition in memory; what is kept ready to be sent to live "
        "clients may use the same amount again, over all partitions",
    )
    history_cache_bytes: int = _setting(
        values.integer(1024, _TIB, "with less, it would hold no event", or_zero=True),
        8 * _MIB,
        "maximum bytes of recently read older events in memory; 0: none; clients that read them may use the "
        "same amount again",
    )
    history_bytes_per_second: int = _setting(
        values.integer(
            64 * 1024, _TIB, "with less, a client would wait for minutes for one read of older events", or_zero=True
        ),
        0,
        "bytes a second that one server process reads from Kafka for clients that read older events, so that live "
        "events come first where the network or Kafka is slow; at least 65,536; 0: any number",
    )
    gather_seconds: float = _setting(
        values.seconds(0, 1, "all events of live streams are late by about this time"),
        0.03,
        "seconds for which events wait for each other, to share a write, if a process has more than 50 live "
        "clients; a lone event waits half as long again; at most 1; 0: never",
    )
    stall_seconds: float = _setting(
        values.seconds(0.1, 3_600, "the kernel closes such connections after 60", or_zero=True),
        30.0,
        "seconds after which a client that takes nothing gives its place back while `max_connections` (or the limit of "
        "open files) is reached; 0: it keeps it, until the kernel closes the connection after 60 seconds",
    )
    max_connection_seconds: float = _setting(
        values.seconds(1, why="clients would do nothing but reconnect", or_zero=True),
        0.0,
        "seconds after which the server ends a stream, as it does when it stops: clients reconnect and resume; "
        "0: never",
    )
    max_worker_bytes: int = _setting(
        values.integer(
            64 * _MIB, _TIB, "a worker has more when it starts, and would be replaced again and again", or_zero=True
        ),
        0,
        "bytes of memory from which a worker is replaced (`--workers` or `--ops-port`): the new one is ready first, "
        "then the old one drains; 0: any number",
    )
    max_worker_seconds: float = _setting(
        values.seconds(1, why="workers would be replaced again and again", or_zero=True),
        0.0,
        "age from which a worker is replaced in the same way; 0: any age",
    )
    drain_seconds: float = _setting(
        values.seconds(0, 3_600, "a stop takes three seconds longer than this"),
        5.0,
        "seconds over which the server ends the streams when it stops",
    )
    log_format: str = _setting(
        values.matching(r"auto|json|text", "auto, json or text"),
        "auto",
        "`json`: each line of the log is a JSON object; `text`: a line for people; `auto`: `text` in a terminal and "
        "with `DJANGO_DEBUG`, else `json`",
    )
    sentry_dsn: str | None = _setting(
        values.url(r"https?://[^\s/@]+@\S+/\d+", "a DSN such as https://key@sentry.example.org/1"),
        None,
        "the Sentry that gets faults: their kind and where they arose, without variables, texts and requests "
        "([docs/operations.md](docs/operations.md#sentry-and-opentelemetry))",
        shown="none",
        secret=True,
    )
    otlp_endpoint: str | None = _setting(
        values.url(r"https?://[^\s/?#]+(?:/[^\s?#]*)?", "an http:// or https:// URL"),
        None,
        "the OpenTelemetry collector that gets spans of requests and refreshes, by OTLP over HTTP, such as "
        "`http://collector:4318` ([docs/operations.md](docs/operations.md#sentry-and-opentelemetry))",
        shown="none",
        secret=True,
    )
    log_addresses: str = _setting(
        values.matching(r"anonymous|full|none", "anonymous, full or none"),
        "anonymous",
        "clients' addresses in the log's lines about streams that ended: `anonymous` (the /24, of IPv6 the /48), "
        "`full` (IPv6: the /64) or `none`",
    )


class Setting(NamedTuple):
    """One key of the configuration, as `Config` declares it.

    `parse` is a rule of `values.py`. A null is not parsed: it means the default, unless `null_counts`. The value of a
    `secret` setting never appears in a message. `help` is Markdown. `shown` describes a default that a number or a
    text does not explain.
    """

    name: str
    parse: Callable[[object, Path], Any]
    default: Any
    help: str
    shown: str | None
    secret: bool
    null_counts: bool

    @property
    def row(self) -> str:
        """Return the row of this setting in the README's table."""
        return f"| `{self.name}` | {self.shown or f'`{_yaml(self.default)}`'} | {self.help} |"


def _yaml(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, int | float):
        return f"{default:.10g}"
    return "[]" if default == () else str(default)


_DEFAULTS = Config()
SETTINGS = tuple(Setting(each.name, default=getattr(_DEFAULTS, each.name), **each.metadata) for each in fields(Config))
"""Every key there is, in the order of the documentation."""
