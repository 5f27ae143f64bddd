"""What came of asking the source of the stream configuration. The database has no part in it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from streams.catalogue.database import StreamConfigSource
from streams.catalogue.document import Described, DocumentError, described_streams
from streams.catalogue.fetch import NOT_MODIFIED, FetchError, Validators, fetch, shown


class Document(NamedTuple):
    """What was fetched last; given to the next synchronisation, it only asks the server for changes."""

    uri: str
    described: Described
    validators: Validators | None


class Fetched(NamedTuple):
    """What came of asking the source; `error` says why there is no document."""

    source: str
    document: Document | None
    error: str
    known: Document | None
    """The document before, which the next synchronisation gets if there is no new one."""
    at: datetime
    started: float
    """When it was asked (time.monotonic)."""


def fetch_source(config: StreamConfigSource, known: Document | None = None) -> Fetched:
    """Fetch the stream configuration. It blocks.

    Args:
        config: Says where the streams are defined.
        known: The `document` of the last result in this process.
    """
    at, started = timezone.now(), time.monotonic()
    source, document, error = source_name(config), None, ""
    try:
        document = _fetch(config, known)
    except FetchError as failure:
        error = str(failure)
    except DocumentError as failure:
        error = f"{source}: {failure}"
    return Fetched(source, document, error, known, at, started)


def source_name(config: StreamConfigSource) -> str:
    """Return what messages call the source, without secrets."""
    uri = config.stream_config_uri
    return "stream_config_overrides" if uri is None else shown(uri)


def _fetch(config: StreamConfigSource, known: Document | None) -> Document:
    uri = config.stream_config_uri
    if uri is None:
        return Document("", Described({}, ()), None)
    if known is not None and known.uri != uri:
        known = None
    answer = fetch(uri, config.stream_config_uri_options, known.validators if known is not None else None)
    if answer is NOT_MODIFIED:
        assert known is not None  # only then it was sent validators
        return known
    return Document(uri, described_streams(answer.text, config.stream_config_object_path), answer.validators)
