"""The JSONSchema of each stream, looked up below `schema_base_uris` in the background, so that no client waits.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from streams.catalogue.fetch import AbsentError, FetchError
from streams.catalogue.hosts import is_at
from streams.core.catalogue import Catalogue
from streams.engine.metrics import Metrics
from streams.engine.outage import Outage
from streams.schemas.search import Answer, BrokenError, Schema, SchemaConfig, Search, schema_path

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Maximum fetches at once. They have their own threads: slow servers must not hold up the redaction list."""
SEARCH_RETRY_SECONDS = 60.0
"""Maximum seconds until the next refresh after a failed fetch."""
NAMED = 5
"""Maximum problems in one line of the log; the admin shows all."""
LONGEST_FAULT = 500
"""Maximum characters of the problem that is reported of one schema."""


class _State(NamedTuple):
    """What is known, replaced as a whole since threads of the admin read it. `found` is by path, the rest by stream."""

    paths: Mapping[str, str]
    found: Mapping[str, Schema]
    problems: Mapping[str, str]


class _Outcome(NamedTuple):
    """What a lookup led to; `is_passing`: a fetch failed, and trying again soon may help."""

    schema: Schema | None
    fault: str = ""
    is_kept: bool = False
    is_passing: bool = False


class Schemas:
    """The schemas of the streams that one process exposes, and their problems."""

    def __init__(self, config: SchemaConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self.version = 0
        """Raised by each refresh that changes what `of` returns."""
        self._state = _State({}, {}, {})
        self._reported: dict[str, str] = {}
        self._answers: dict[str, Answer] = {}
        self._one_at_a_time = asyncio.Lock()
        self._catalogue: Catalogue | None = None
        self._news = asyncio.Event()
        self._outage = Outage(log, "The schemas were not refreshed")

    def of(self, stream_name: str) -> Schema | None:
        """Return the schema of the stream with this canonical name, if it has one."""
        state = self._state
        return state.found.get(state.paths.get(stream_name, ""))

    @property
    def problems(self) -> Mapping[str, str]:
        """Stream name → why it has no schema, or one that may be outdated."""
        return self._state.problems

    def set_catalogue(self, catalogue: Catalogue) -> None:
        """Set the streams, whose schemas `run_forever` looks up next."""
        self._catalogue = catalogue
        self._news.set()

    async def run_forever(self) -> None:
        """Refresh when the catalogue changes, then every `stream_config_ttl` seconds (0: never); retry sooner."""
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
                self._outage.continues(f"{type(error).__name__}: {error}")
            else:
                self._outage.is_over("The schemas are refreshed again")
            pause = (ttl or None) if complete else min(ttl or SEARCH_RETRY_SECONDS, SEARCH_RETRY_SECONDS)

    async def refresh(self, catalogue: Catalogue) -> bool:
        """Look up the schemas of these streams; return False if a fetch failed, so that retrying soon may help."""
        async with self._one_at_a_time:
            return await self._refresh(catalogue)

    async def _refresh(self, catalogue: Catalogue) -> bool:
        paths = self._paths(catalogue)
        search = Search(self._config, self._answers, self._state.found)
        looked_up = await _look_up_all(search, dict.fromkeys(paths.values()))
        outcomes = {path: self._outcome(path, result, search) for path, result in looked_up.items()}
        self._answers = search.answers
        found = {path: outcome.schema for path, outcome in outcomes.items() if outcome.schema is not None}
        problems = {name: outcomes[path].fault for name, path in paths.items() if outcomes[path].fault}
        if (paths, found) != self._state[:2]:
            self.version += 1
        self._state = _State(paths, found, problems)
        self._report({path for path, outcome in outcomes.items() if outcome.is_kept})
        return not any(outcome.is_passing for outcome in outcomes.values())

    def _outcome(self, path: str, result: Schema | BaseException, search: Search) -> _Outcome:
        if isinstance(result, Schema):
            fault = search.passed_over.get(path)
            if fault is None:
                return _Outcome(result)
            return _Outcome(result, f"{fault}; it was found at {result.uri}"[:LONGEST_FAULT], is_passing=True)
        fault = str(result)[:LONGEST_FAULT]
        if isinstance(result, AbsentError):
            return _Outcome(None, fault)
        kept = self._state.found.get(path)
        if kept is not None:
            fault += "; the last good one is kept"
        return _Outcome(kept, fault, is_kept=kept is not None, is_passing=not isinstance(result, BrokenError))

    def _paths(self, catalogue: Catalogue) -> dict[str, str]:
        """Return the path of each stream's schema; without bases, only URLs of admins are looked up."""
        named = (
            (stream.name, schema_path(stream, self._config.schema_latest_version))
            for stream in catalogue.streams.values()
        )
        return {
            name: path
            for name, path in named
            if path is not None and (self._config.schema_base_uris or is_at(path, self._config.admin_uri_hosts))
        }

    def _report(self, kept: Collection[str]) -> None:
        """Set the metrics, and log what is new. `kept` are the paths whose schema is from an earlier refresh."""
        paths, found, problems = self._state
        states = {
            name: "missing" if path not in found else "kept" if path in kept else "found"
            for name, path in paths.items()
        }
        counts = Counter(states.values())
        for state in ("found", "kept", "missing"):
            self._metrics.schemas.labels(state).set(counts[state])
        report = {name: f"{state}, {name in problems}" for name, state in states.items()}
        if report == self._reported:
            return
        self._reported = report
        named = [f"{name}: {problem}" for name, problem in list(problems.items())[:NAMED]]
        if len(problems) > NAMED:
            named.append(f"and {len(problems) - NAMED} more streams (see the admin)")
        log.log(
            logging.WARNING if problems else logging.INFO,
            "Schemas of streams: %d found, %d missing, %d kept from before%s%s",
            counts["found"],
            counts["missing"],
            counts["kept"],
            ". " if named else "",
            "; ".join(named),
        )


async def _look_up_all(search: Search, paths: Iterable[str]) -> dict[str, Schema | BaseException]:
    """Look up each path, in threads; raise what is no failure of a lookup."""
    wanted = list(paths)
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="schemas")
    loop = asyncio.get_running_loop()
    try:
        results = await asyncio.gather(
            *(loop.run_in_executor(pool, search.look_up, path) for path in wanted), return_exceptions=True
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    for result in results:
        if not isinstance(result, Schema | FetchError | BrokenError):
            raise result
    return dict(zip(wanted, results, strict=True))
