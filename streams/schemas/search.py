"""One refresh of schemas: where each one is looked up, and what was found.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit, urlunsplit

from streams.catalogue.document import DocumentError, NotStorableError, parsed, plain
from streams.catalogue.fetch import NOT_MODIFIED, AbsentError, FetchError, Validators, fetch, shown
from streams.catalogue.hosts import is_at
from streams.core.catalogue import Stream
from streams.schemas.json_schema import BadSchemaError, bundled, complete

MAX_FAILURES = 8
"""Failures after which a base is not asked again in the same refresh."""
MAX_LINKS = 3
"""Maximum documents that only name another one, on the way to a schema."""

_LINK = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class SchemaConfig(Protocol):
    """The part of the service's configuration that concerns schemas."""

    @property
    def schema_base_uris(self) -> Sequence[str]:
        """Paths or URLs below which schemas are looked up, in this order."""

    @property
    def schema_uri_options(self) -> Mapping[str, Any]:
        """How to fetch from them: `headers`."""

    @property
    def schema_latest_version(self) -> str:
        """The version to look up for a schema_title."""

    @property
    def admin_uri_hosts(self) -> Collection[str]:
        """Hosts that admins may name in URLs of schemas."""

    @property
    def stream_config_ttl(self) -> float:
        """Seconds between refreshes; 0: only when the streams change."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema, and where it was found (without secrets).

    `document` is complete, in version 2020-12 (see `streams.schemas.json_schema`); `found` is what it was made of.
    """

    uri: str
    document: Mapping[str, Any]
    found: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def schema_path(stream: Stream, latest_version: str) -> str | None:
    """Return by what to look up the stream's schema: ``$schema``, else ``/{schema_title}/{latest_version}``, else None.

    It may be anything: `is_path` and `streams.catalogue.hosts.is_at` say whether it can be used.
    """
    if stream.schema_uri:
        return stream.schema_uri
    return f"/{stream.schema_title}/{latest_version}" if stream.schema_title else None


def is_path(text: str) -> bool:
    """Return whether the text, appended to a base, stays below it: it has one leading slash and no steps up."""
    return re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", text) is not None and not {".", ".."} & set(text.split("/"))


class Answer(NamedTuple):
    """What a URI gave the last time; if the digest of its text is the same, it is not parsed again."""

    validators: Validators | None
    digest: bytes
    document: Any


class BrokenError(Exception):
    """What was found is not a schema; the message says why."""


class Search:
    """One refresh. `answers` has the answer of each URI that was asked, the old one after a failure."""

    def __init__(self, config: SchemaConfig, known: Mapping[str, Answer], found: Mapping[str, Schema]) -> None:
        """Take the answers of the last refresh (`known`) and its schemas by path (`found`)."""
        self.answers: dict[str, Answer] = {}
        self.passed_over: dict[str, str] = {}
        """Path → the failure of a base before the one that has it."""
        self._config = config
        self._known = known
        self._found = found
        self._failures: Counter[str] = Counter()
        self._checking = Lock()

    def look_up(self, path: str) -> Schema:
        """Return the schema from the first base that has it.

        Raises:
            AbsentError: No base has it.
            BrokenError: What was found is not a schema.
            FetchError: A base that failed may have it. If the last refresh found a schema, this is raised at once, else
                only if no other base has it.
        """
        uri, document = self._at(path)
        try:
            found = bundled(path, document, self._referred)
            before = self._found.get(path)
            if before is not None and (before.uri, before.found) == (shown(uri), found):
                return before  # checking takes a while
            with self._checking:  # many computing threads would block the event loop
                return Schema(shown(uri), complete(found), found)
        except BadSchemaError as error:
            raise BrokenError(f"{shown(uri)}: it is broken: {error}") from None

    def _referred(self, reference: str, base: str) -> tuple[str, Any]:
        """Return the target of a reference, as `look_up` takes it, and the document there."""
        target = urljoin(base, reference)
        for start in self._config.schema_base_uris:
            if target.startswith(start.rstrip("/") + "/") and is_path(target.removeprefix(start.rstrip("/"))):
                target = target.removeprefix(start.rstrip("/"))
        try:
            return target, self._at(target)[1]
        except (AbsentError, BrokenError) as error:
            raise BadSchemaError(f"its $ref {reference[:200]!r} cannot be resolved: {error}") from None
        except FetchError as error:
            raise FetchError(f"its $ref {reference[:200]!r} could not be fetched: {error}") from None

    def _at(self, path: str) -> tuple[str, Mapping[str, Any]]:
        """Return the URI to which `path` leads, and the document there."""
        if is_at(path, self._config.admin_uri_hosts):
            # Without the headers: they are for the bases. Redirects must stay at these hosts too, since an admin
            # could otherwise make the service fetch from anywhere.
            hosts = self._config.admin_uri_hosts
            return path, _mapping(path, self._document(path, {}, lambda uri: is_at(uri, hosts)))
        if not is_path(path):
            raise BrokenError(
                f"{shown(path)[:200]!r} is neither a path such as /mediawiki/page/change/1.0.0 "
                "nor a URL at one of admin_uri_hosts"
            )
        failure: FetchError | None = None
        for base in self._config.schema_base_uris:
            try:
                found = self._below(base, path)
            except AbsentError:
                continue
            except FetchError as error:
                if path in self._found:
                    raise  # better keep the last one than take that of another base
                failure = failure or error
                continue
            if failure is not None:
                self.passed_over[path] = str(failure)
            return found
        if failure is not None:
            raise failure
        bases = ", ".join(shown(base) for base in self._config.schema_base_uris)
        raise AbsentError(f"{path} was not found at any of {bases}")

    def _below(self, base: str, path: str) -> tuple[str, Mapping[str, Any]]:
        for _ in range(MAX_LINKS):
            if self._failures[base] >= MAX_FAILURES:
                raise FetchError(f"{shown(base)}: failed {MAX_FAILURES} times, so it was not asked again for now")
            uri = _joined(base, path)
            try:
                document = self._document(uri, self._config.schema_uri_options)
            except AbsentError:
                raise
            except FetchError:
                self._failures[base] += 1
                raise
            # Checkouts without symbolic links, and servers of raw files, give the name of the link's target.
            if not isinstance(document, str) or _LINK.fullmatch(document) is None:
                return uri, _mapping(uri, document)
            path = f"{path.rpartition('/')[0]}/{document}"
        raise BrokenError(f"{shown(uri)}: too many links to follow")

    def _document(
        self, uri: str, options: Mapping[str, Any], may_lead_to: Callable[[str], bool] = lambda _: True
    ) -> Any:
        known = self._known.get(uri)
        if known is not None:
            self.answers[uri] = known
        try:
            fetched = fetch(uri, options, known.validators if known is not None else None, may_lead_to=may_lead_to)
        except AbsentError:
            self.answers.pop(uri, None)
            raise
        if fetched is NOT_MODIFIED:
            assert known is not None  # only then it was sent validators
            return known.document
        digest = hashlib.sha256(fetched.text.encode()).digest()
        if known is not None and known.digest == digest:
            document = known.document
        else:
            try:
                document = plain(parsed(fetched.text))
            except (DocumentError, NotStorableError) as error:
                raise BrokenError(f"{shown(uri)}: it is broken: {error}") from None
        self.answers[uri] = Answer(fetched.validators, digest, document)
        return document


def _joined(base: str, path: str) -> str:
    """Return `path`, which has passed `is_path`, below `base`; a query of the base stays at the end."""
    if re.match(r"https?:", base, re.IGNORECASE) is None:
        return base.rstrip("/") + path
    try:
        parts = urlsplit(base)
    except ValueError:
        raise FetchError(f"{shown(base)}: it is not a valid URL") from None
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))


def _mapping(uri: str, document: Any) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise BrokenError(f"{shown(uri)}: it is broken: expected a mapping, found {type(document).__name__}")
    return document
