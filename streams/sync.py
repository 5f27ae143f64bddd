"""Reading the stream configuration from where it is kept.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import yaml

from streams.core.catalogue import Catalogue, compile_catalogue

logger = logging.getLogger(__name__)

_HTTP = re.compile(r"https?:", re.IGNORECASE)
_FILE = re.compile(r"file:", re.IGNORECASE)


class StreamConfigError(Exception):
    """The stream configuration could not be had; the message names where it was looked for and what went wrong."""


class StreamConfigSource(Protocol):
    """The part of the service's configuration that says where the streams are described."""

    @property
    def stream_config_uri(self) -> str | None: ...
    @property
    def stream_config_object_path(self) -> str | None: ...
    @property
    def stream_config_defaults(self) -> Mapping[str, object]: ...
    @property
    def stream_config_overrides(self) -> Mapping[str, object]: ...
    @property
    def allowed_streams(self) -> Collection[str] | None: ...


def load_catalogue(config: StreamConfigSource, version: int) -> Catalogue:
    """Fetch the stream configuration and compile it; `version` becomes the catalogue's.

    Without a `stream_config_uri` the streams are those of `stream_config_overrides`. What is skipped or ignored is
    logged, a line each, and then the number of streams.

    Raises StreamConfigError if nothing could be read, or no stream would be exposed. It reads files: call it in a
    thread where there is an event loop.
    """
    uri = config.stream_config_uri
    fetched: Mapping[Any, object] = {} if uri is None else read_stream_config(uri, config.stream_config_object_path)
    catalogue = compile_catalogue(
        fetched, config.stream_config_defaults, config.stream_config_overrides, config.allowed_streams, version
    )
    for name, reason in catalogue.skipped:
        logger.warning("Stream %s is skipped: %s", name, reason)
    for name, reason in catalogue.problems:
        logger.warning("Stream %s: %s", name, reason)
    if not catalogue.streams:
        raise StreamConfigError(_why_none(uri, fetched, config))
    logger.info(
        "%d streams are exposed, %d skipped, of %d in %s",
        len(catalogue.streams),
        len(catalogue.skipped),
        len(fetched),
        uri or "stream_config_overrides",
    )
    return catalogue


def read_stream_config(uri: str, object_path: str | None) -> Mapping[Any, object]:
    """The mapping of stream name to settings in the JSON or YAML document at `uri`, a path or ``file:`` URL.

    `object_path`: the keys that lead to it, joined by dots; None or empty for the whole document.

    Raises StreamConfigError; also where the mapping is empty, which is a source's fault rather than anybody's wish.
    """
    document = _parse(uri, _read(uri))
    for key in object_path.split(".") if object_path else ():
        if not isinstance(document, Mapping) or key not in document:
            raise StreamConfigError(f"{uri}: it has nothing at stream_config_object_path {object_path!r} (no {key!r})")
        document = document[key]
    if not isinstance(document, Mapping):
        place = f" at {object_path!r}" if object_path else ""
        raise StreamConfigError(f"{uri}: expected a mapping of stream names{place}, found {type(document).__name__}")
    if not document:
        raise StreamConfigError(f"{uri}: it describes no stream")
    return document


def _read(uri: str) -> str:
    if _HTTP.match(uri):
        raise StreamConfigError(f"{uri}: http is not supported yet by this version; give a path or a file: URL")
    try:
        return _path(uri).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StreamConfigError(f"{uri}: it cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise StreamConfigError(f"{uri}: it is not UTF-8 text (byte {error.start})") from error


def _path(uri: str) -> Path:
    if not _FILE.match(uri):
        return Path(uri)
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise StreamConfigError(
            f"{uri}: expected a file: URL with an absolute path on this host, as file:///etc/x.yaml"
        )
    return Path(unquote(parts.path))  # RFC 8089


def _parse(uri: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        not_json = error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        not_yaml = " ".join(str(error).split())
        raise StreamConfigError(f"{uri}: it is neither JSON ({not_json}) nor YAML ({not_yaml})") from error


def _why_none(uri: str | None, fetched: Mapping[Any, object], config: StreamConfigSource) -> str:
    if uri is None and not config.stream_config_overrides:
        return "stream_config_uri is not set; give the path of a file that describes the streams"
    if config.allowed_streams is not None:
        return f"{uri or 'stream_config_overrides'}: allowed_streams admits none of its {len(fetched)} streams"
    return f"{uri or 'stream_config_overrides'}: none of its {len(fetched)} streams can be served; the log says why"
