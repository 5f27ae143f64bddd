"""The service's configuration: one YAML file in the old service's own keys, and environment variables over it.

`SETTINGS` is the one table: names, rules, defaults, help. Source: wire contract, "Configuration".
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from eventstreams_site.config import values as values
from eventstreams_site.config.yaml_file import FILE_VARIABLE, ConfigError, read_file, read_yaml
from redaction.imports.yaml_text import PAGES_KEY as REDACTED_PAGES
from streams.core.catalogue import deep_merge
from streams.engine.kafka.options import kafka_options

logger = logging.getLogger(__name__)

PREFIX = "EVENTSTREAMS_"

_MIB = 1024 * 1024


class Setting(NamedTuple):
    """One key of the configuration.

    `parse` is a rule of conf_values. A null is not parsed: it gives the default, unless `null_counts`. The value of a
    `secret` setting never appears in a message.
    """

    name: str
    parse: Callable[[object, Path], Any]
    default: Any
    help: str
    secret: bool = False
    null_counts: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration, one attribute for each of `SETTINGS` (which see for units); what may be secret is not in the
    repr."""

    stream_config_uri: str | None
    stream_config_uri_options: Mapping[str, Any] = field(repr=False)
    stream_config_object_path: str | None
    stream_config_ttl: float
    stream_config_defaults: Mapping[str, Mapping[str, Any]]
    stream_config_overrides: Mapping[str, Mapping[str, Any]]
    allowed_streams: tuple[str, ...] | None
    schema_base_uris: tuple[str, ...]
    schema_uri_options: Mapping[str, Any] = field(repr=False)
    schema_latest_version: str
    admin_uri_hosts: tuple[str, ...]
    admin_topics: tuple[str, ...] | None
    client_ip_connection_limit: int
    mediawiki_redacted_pages: Mapping[str, tuple[str, ...]]
    redacted_pages_min: int
    cors: str
    stream_ui_enabled: bool
    kafka: Mapping[str, Any] = field(repr=False)
    keepalive_seconds: float
    max_streams: int
    client_ip_header: str
    trusted_proxies: tuple[values.Network, ...]
    redis_url: str | None = field(repr=False)
    max_connections: int
    history_readers: int
    ring_bytes: int
    history_cache_bytes: int
    gather_seconds: float
    drain_seconds: float


def load_config(environ: Mapping[str, str]) -> Config:
    """Read the file that EVENTSTREAMS_CONFIG names, if it is set, and the EVENTSTREAMS_<KEY> variables over it.

    A variable's text is a YAML value; a mapping is merged deeply into the file's, anything else replaces it. An empty
    variable counts as not set (but `EVENTSTREAMS_CORS=` switches CORS off), a null gives the default. Relative paths,
    in a variable too, start from the file's folder; without a file, from the current directory.

    What is not known, or has no effect, is named in a warning in the log. Raises ConfigError.
    """
    path = Path(environ[FILE_VARIABLE]).absolute() if environ.get(FILE_VARIABLE) else None
    folder = Path.cwd() if path is None else path.parent
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if path is not None:
        given = read_file(path)
        origins = dict.fromkeys(given, f"the file {path}")
    for setting in SETTINGS:
        variable = PREFIX + setting.name.upper()
        text = environ.get(variable)
        if text is not None and (text.strip() or setting.null_counts):
            origin = f"the variable {variable}"
            _override(setting, read_yaml(text, origin, setting.name), origin, given, origins)
    _warn_of_unknown(given, environ, path)
    parsed = {setting.name: _parsed(setting, given, folder, origins) for setting in SETTINGS}
    _check_kafka(parsed["kafka"], origins.get("kafka", "the defaults"))
    if parsed["redis_url"] is not None:
        logger.warning(
            "redis_url has no effect in this version: each process counts the connections of an address for itself"
        )
    return Config(**parsed)


def _override(setting: Setting, value: object, origin: str, given: dict[str, Any], origins: dict[str, str]) -> None:
    name = setting.name
    below = given.get(name)
    if isinstance(below, Mapping) and isinstance(value, Mapping):
        given[name] = deep_merge(below, value)
        origins[name] = f"{origins[name]} and {origin}"
    else:
        given[name] = value
        origins[name] = origin


def _parsed(setting: Setting, given: Mapping[str, Any], folder: Path, origins: Mapping[str, str]) -> Any:
    value = given.get(setting.name)
    if setting.name not in given or (value is None and not setting.null_counts):
        return setting.default
    try:
        return setting.parse(value, folder)
    except values.InvalidValueError as invalid:
        shown = "the value (not shown)" if setting.secret else _shown(invalid.value)
        raise ConfigError(
            f"{setting.name}{invalid.at}: {shown} is not accepted; expected {invalid.expected} "
            f"(it comes from {origins[setting.name]})"
        ) from None


def _check_kafka(settings: Mapping[str, Any], origin: str) -> None:
    try:
        options = kafka_options(settings)
    except ValueError as error:
        raise ConfigError(f"kafka: {error} (it comes from {origin})") from None
    for warning in options.warnings:
        logger.warning("%s", warning)


def _warn_of_unknown(given: Mapping[str, Any], environ: Mapping[str, str], path: Path | None) -> None:
    names = [setting.name for setting in SETTINGS]
    for key in given:
        if key not in names:
            logger.warning("Unknown key %s in %s is ignored%s", key, path, _alike(str(key), names))
    variables = [PREFIX + name.upper() for name in names] + [FILE_VARIABLE]
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in variables:
            logger.warning("Unknown variable %s is ignored%s", variable, _alike(variable, variables))


def _alike(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "stream_config_uri",
        values.uri,
        None,
        "Where the streams are described: path or URL of YAML or JSON; unset: stream_config_overrides describes them.",
    ),
    Setting(
        "stream_config_uri_options",
        values.uri_options,
        {},
        "For http: `headers`, a mapping of names to texts.",
        secret=True,
    ),
    Setting(
        "stream_config_object_path",
        values.text("keys joined by dots"),
        None,
        "Keys joined by dots that lead to the mapping of streams inside the fetched document.",
    ),
    Setting(
        "stream_config_ttl", values.seconds, 0.0, "Seconds between refreshes of the stream configuration; 0: read once."
    ),
    Setting(
        "stream_config_defaults",
        values.stream_settings,
        {},
        "Stream name to settings that fill, deeply, what the fetched configuration lacks.",
    ),
    Setting(
        "stream_config_overrides",
        values.stream_settings,
        {},
        "Stream name to settings that win, deeply, over the fetched ones; streams that were not fetched are added.",
    ),
    Setting("allowed_streams", values.texts, None, "The only streams that are exposed, by canonical name; unset: all."),
    Setting("schema_base_uris", values.uris, (), "Where schemas are looked for, in this order: paths or URLs."),
    Setting("schema_uri_options", values.uri_options, {}, "As stream_config_uri_options, for schemas.", secret=True),
    Setting(
        "schema_latest_version",
        values.text("text; quote it if it looks like a number"),
        "latest",
        "The version in the path of a schema that is found by its title.",
    ),
    Setting(
        "admin_uri_hosts",
        values.hosts,
        (),
        "Hosts, with a port where it is neither 80 nor 443 (schema.example.org:8443), of the http(s) URLs "
        "that admins may give a stream as $schema, redirects included; unset: only paths, below schema_base_uris.",
    ),
    Setting(
        "admin_topics",
        values.texts,
        None,
        "Patterns of the topics that admins may give a stream, such as *.mediawiki.*; unset: the topics of all streams "
        "that are fetched or in this file. Kafka's own (__consumer_offsets): only by a pattern that begins with __.",
    ),
    Setting(
        "client_ip_connection_limit",
        values.integer(0),
        0,
        "Concurrent connections of one client address; 0: any number.",
    ),
    Setting(
        REDACTED_PAGES,
        values.redacted_pages,
        {},
        "Domain to list of page titles, text as written; from their events every trace of who acted is removed.",
    ),
    Setting(
        "redacted_pages_min",
        values.integer(0),
        0,
        "Redacted pages that the database must have: with fewer at the start (the wrong database, a lost list) the "
        "server is not ready and serves no stream.",
    ),
    Setting(
        "cors",
        values.cors_origin,
        "*",
        'The value of Access-Control-Allow-Origin: "*" or one origin; false or empty: no cross-origin access.',
        null_counts=True,
    ),
    Setting(
        "stream_ui_enabled",
        values.boolean,
        False,
        "Whether there is the demo page (/v2/ui); / leads to it then, else to the documentation.",
    ),
    Setting(
        "kafka",
        values.mapping,
        {},
        "librdkafka's settings: metadata.broker.list, security.protocol, ssl.*, sasl.*, fetch.* and others.",
        secret=True,
    ),
    Setting(
        "keepalive_seconds",
        values.seconds,
        15.0,
        "Seconds without anything to send after which a sign of life is sent; 0: never.",
    ),
    Setting("max_streams", values.integer(1), 50, "Streams that can be joined in one request."),
    Setting(
        "client_ip_header",
        values.matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of a header"),
        "X-Client-IP",
        "The header that holds the client's address, believed only from trusted_proxies.",
    ),
    Setting(
        "trusted_proxies",
        values.networks,
        values.PRIVATE_NETWORKS,
        "Networks whose peers are believed; by default loopback and the private ones.",
    ),
    Setting(
        "redis_url",
        values.matching(r"(?:rediss?|unix)://\S+", "a redis://, rediss:// or unix:// URL"),
        None,
        "Has no effect in this version: each process counts the connections of an address for itself.",
        secret=True,
    ),
    Setting(
        "max_connections", values.integer(0), 10_000, "Concurrent connections of one server process; 0: any number."
    ),
    Setting(
        "history_readers", values.integer(1), 8, "Clients that may read, at once, events older than those in memory."
    ),
    Setting(
        "ring_bytes",
        values.integer(1),
        8 * _MIB,
        "Bytes of the newest events of each partition that are kept in memory; all feeds together hold as much again.",
    ),
    Setting(
        "history_cache_bytes",
        values.integer(0),
        8 * _MIB,
        "Bytes of older events, lately read, that are kept in memory; 0: none; those who read hold as much again.",
    ),
    Setting(
        "gather_seconds",
        values.seconds,
        0.03,
        "Seconds for which events wait for each other, so that they share a write, where a process has more than 50 "
        "live clients; one that is alone waits half as long again; 0: never.",
    ),
    Setting("drain_seconds", values.seconds, 5.0, "Seconds over which the streams are ended when the server stops."),
)
"""Every key there is, in the order of the documentation."""
