"""The JSONSchema of each stream, looked for below `schema_base_uris`: in the background, never on the way of a client.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

from streams.core.catalogue import Catalogue, Stream
from streams.document import DocumentError, UnplainError, parsed, plain
from streams.engine.metrics import Metrics
from streams.fetch import NOT_MODIFIED, AbsentError, FetchError, Validators, fetch, shown

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Fetches. They have threads of their own: slow servers must not take those that read the redaction list."""
MAX_FAILURES = 8
"""After so many at one base it is not asked again in the same refresh."""
MAX_LINKS = 3
RETRY_SECONDS = 60.0
"""After a fetch that failed, where the next refresh is not due sooner."""
NAMED = 5
"""Problems that a line of the log tells; the admin has all of them."""

_LINK = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class SchemaConfig(Protocol):
    """The part of the service's configuration that says where schemas are."""

    @property
    def schema_base_uris(self) -> Sequence[str]: ...
    @property
    def schema_uri_options(self) -> Mapping[str, Any]: ...
    @property
    def schema_latest_version(self) -> str: ...
    @property
    def admin_uri_hosts(self) -> Collection[str]: ...
    @property
    def stream_config_ttl(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema as plain JSON values, and where it was found (without secrets)."""

    uri: str
    document: Mapping[str, Any]


def schema_path(stream: Stream, latest_version: str) -> str | None:
    """What the stream's schema is looked for by: its ``$schema``, else ``/{schema_title}/{latest_version}``, else None.

    It is as configured, or an http(s) URL: `is_path` and `is_at` say whether it can be used.
    """
    if stream.schema_uri:
        return stream.schema_uri
    return f"/{stream.schema_title}/{latest_version}" if stream.schema_title else None


def is_path(text: str) -> bool:
    """Whether it stays below whatever it is appended to: from one slash on, without steps up or an escape."""
    return re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", text) is not None and not {".", ".."} & set(text.split("/"))


def is_at(uri: str, hosts: Collection[str]) -> bool:
    """Whether it is an http(s) URL at one of the hosts, for every library that reads it."""
    try:
        parts = urlsplit(uri)
        _ = parts.port  # raises, too, where it is none
    except ValueError:
        return False
    # Browsers and libraries disagree on backslashes, blanks and user names in URLs: none is needed here.
    plain_text = re.fullmatch(r"[!-~]+", uri) is not None and "\\" not in uri and "@" not in parts.netloc
    return plain_text and parts.scheme in {"http", "https"} and parts.hostname in {host.lower() for host in hosts}


class _Answer(NamedTuple):
    """What a URI gave the last time: the digest of its text saves parsing it again."""

    validators: Validators | None
    digest: bytes
    document: Any


class _State(NamedTuple):
    """What is known, swapped whole: admins' threads read it. `found` is by path, the rest by the stream's name."""

    paths: Mapping[str, str]
    found: Mapping[str, Schema]
    problems: Mapping[str, str]


class BrokenError(Exception):
    """What was found is no schema; the message says why."""


class Schemas:
    """The schemas of the streams that one process exposes, and what is amiss with them."""

    def __init__(self, config: SchemaConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._state = _State({}, {}, {})
        self._said: dict[str, str] = {}
        self._answers: dict[str, _Answer] = {}
        self._one_at_a_time = asyncio.Lock()
        self._catalogue: Catalogue | None = None
        self._news = asyncio.Event()

    def of(self, stream_name: str) -> Schema | None:
        """The schema of the stream with this canonical name, if there is one."""
        state = self._state
        return state.found.get(state.paths.get(stream_name, ""))

    @property
    def problems(self) -> Mapping[str, str]:
        """Stream name → why it has no schema, or one that may not be the right one."""
        return self._state.problems

    def know(self, catalogue: Catalogue) -> None:
        """These are the streams now: their schemas are looked for soon, by `run_forever`."""
        self._catalogue = catalogue
        self._news.set()

    async def run_forever(self) -> None:
        """Refresh when the catalogue changes, again every `stream_config_ttl` seconds (0: no more), sooner to retry."""
        ttl = self._config.stream_config_ttl
        pause: float | None = None
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            complete = False
            try:
                if self._catalogue is not None:
                    complete = await self.refresh(self._catalogue)
            except Exception as error:
                log.error("The schemas were not refreshed: %s: %s", type(error).__name__, error)
            pause = (ttl or None) if complete else min(ttl or RETRY_SECONDS, RETRY_SECONDS)

    async def refresh(self, catalogue: Catalogue) -> bool:
        """Look for the schemas of these streams; False where a fetch failed, and it is worth trying again soon."""
        async with self._one_at_a_time:
            return await self._refresh(catalogue)

    async def _refresh(self, catalogue: Catalogue) -> bool:
        paths = self._paths(catalogue)
        wanted = dict.fromkeys(paths.values())
        search = _Search(self._config, self._answers, self._state.found)
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="schemas")
        loop = asyncio.get_running_loop()
        try:
            results = await asyncio.gather(
                *(loop.run_in_executor(pool, search.look_up, path) for path in wanted), return_exceptions=True
            )
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        found: dict[str, Schema] = {}
        faults: dict[str, str] = {}
        kept: set[str] = set()
        complete = True
        for path, result in zip(wanted, results, strict=True):
            if isinstance(result, Schema):
                found[path] = result
                if path in search.passed_over:
                    faults[path] = f"{search.passed_over[path]}; it was found at {result.uri}"[:500]
                    complete = False
                continue
            if not isinstance(result, FetchError | BrokenError):
                raise result
            faults[path] = str(result)[:500]
            if isinstance(result, AbsentError):
                continue
            complete = complete and isinstance(result, BrokenError)
            if path in self._state.found:
                kept.add(path)
                found[path] = self._state.found[path]
                faults[path] += "; the last good one is kept"
        self._answers = search.answers
        problems = {name: faults[path] for name, path in paths.items() if path in faults}
        self._state = _State(paths, found, problems)
        self._say(kept)
        return complete

    def _paths(self, catalogue: Catalogue) -> dict[str, str]:
        """By stream; without bases, nobody has asked for what is found by a path."""
        named = (
            (stream.name, schema_path(stream, self._config.schema_latest_version))
            for stream in catalogue.streams.values()
        )
        return {
            name: path
            for name, path in named
            if path is not None and (self._config.schema_base_uris or is_at(path, self._config.admin_uri_hosts))
        }

    def _say(self, kept: Collection[str]) -> None:
        """In the metrics; and in the log if it is new. `kept` are the paths whose schema is one of before."""
        paths, found, problems = self._state
        states = {
            name: "missing" if path not in found else "kept" if path in kept else "found"
            for name, path in paths.items()
        }
        counts = Counter(states.values())
        for state in ("found", "kept", "missing"):
            self._metrics.schemas.labels(state).set(counts[state])
        said = {name: f"{state}, {name in problems}" for name, state in states.items()}
        if said == self._said:
            return
        self._said = said
        named = [f"{name}: {problem}" for name, problem in list(problems.items())[:NAMED]]
        if len(problems) > NAMED:
            named.append(f"and {len(problems) - NAMED} more streams, which the admin names")
        log.log(
            logging.WARNING if problems else logging.INFO,
            "Schemas of streams: %d found, %d missing, %d kept from before%s%s",
            counts["found"],
            counts["missing"],
            counts["kept"],
            ". " if named else "",
            "; ".join(named),
        )


class _Search:
    """One refresh, seen from its threads. `answers` are those of the URIs that were asked, the old ones on failure."""

    def __init__(self, config: SchemaConfig, known: Mapping[str, _Answer], found: Mapping[str, Schema]) -> None:
        self.answers: dict[str, _Answer] = {}
        self.passed_over: dict[str, str] = {}
        """Path → what was wrong with a base that comes before the one that has it."""
        self._config = config
        self._known = known
        self._found = found
        self._failures: Counter[str] = Counter()

    def look_up(self, path: str) -> Schema:
        """From the first base that has it. Raises AbsentError, BrokenError, and FetchError where a base that failed may
        have it: at once if there is one from before, else only if no other base has it.
        """
        if is_at(path, self._config.admin_uri_hosts):
            # What the headers are for are the bases, not whatever else a host serves.
            return _schema(path, self._document(path, {}))
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
                    raise
                failure = failure or error
                continue
            if failure is not None:
                self.passed_over[path] = str(failure)
            return found
        if failure is not None:
            raise failure
        bases = ", ".join(shown(base) for base in self._config.schema_base_uris)
        raise AbsentError(f"{path} is at none of {bases}")

    def _below(self, base: str, path: str) -> Schema:
        for _ in range(MAX_LINKS):
            if self._failures[base] >= MAX_FAILURES:
                raise FetchError(f"{shown(base)}: it failed {MAX_FAILURES} times and was not asked again for now")
            uri = _joined(base, path)
            try:
                document = self._document(uri, self._config.schema_uri_options)
            except AbsentError:
                raise
            except FetchError:
                self._failures[base] += 1
                raise
            # Checkouts without symbolic links, and servers of raw files, give the name that a link leads to.
            if not isinstance(document, str) or _LINK.fullmatch(document) is None:
                return _schema(uri, document)
            path = f"{path.rpartition('/')[0]}/{document}"
        raise BrokenError(f"{shown(uri)}: it leads from link to link")

    def _document(self, uri: str, options: Mapping[str, Any]) -> Any:
        known = self._known.get(uri)
        if known is not None:
            self.answers[uri] = known
        try:
            fetched = fetch(uri, options, known.validators if known is not None else None)
        except AbsentError:
            self.answers.pop(uri, None)
            raise
        if fetched is NOT_MODIFIED:
            assert known is not None  # else nothing was said of what is known
            return known.document
        digest = hashlib.sha256(fetched.text.encode()).digest()
        if known is not None and known.digest == digest:
            document = known.document
        else:
            try:
                document = plain(parsed(fetched.text))
            except (DocumentError, UnplainError) as error:
                raise BrokenError(f"{shown(uri)}: it is broken: {error}") from None
        self.answers[uri] = _Answer(fetched.validators, digest, document)
        return document


def _joined(base: str, path: str) -> str:
    """`path` has passed `is_path`. A query of the base, a token say, stays behind it."""
    if re.match(r"https?:", base, re.IGNORECASE) is None:
        return base.rstrip("/") + path
    try:
        parts = urlsplit(base)
    except ValueError:
        raise FetchError(f"{shown(base)}: it is not a valid URL") from None
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))


def _schema(uri: str, document: Any) -> Schema:
    if not isinstance(document, Mapping):
        raise BrokenError(f"{shown(uri)}: it is broken: expected a mapping, found {type(document).__name__}")
    return Schema(shown(uri), document)
