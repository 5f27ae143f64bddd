"""The JSONSchema of each stream, looked for below `schema_base_uris`: in the background, never on the way of a client.

Source: wire contract, "Configuration".
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from streams.catalogue.fetch import AbsentError, FetchError
from streams.catalogue.hosts import is_at
from streams.core.catalogue import Catalogue
from streams.engine.metrics import Metrics
from streams.schemas.search import Answer, BrokenError, Schema, SchemaConfig, Search, schema_path

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Fetches. They have threads of their own: slow servers must not take those that read the redaction list."""
SEARCH_RETRY_SECONDS = 60.0
"""After a fetch that failed, where the next refresh is not due sooner."""
NAMED = 5
"""Problems that a line of the log tells; the admin has all of them."""


class _State(NamedTuple):
    """What is known, swapped whole: admins' threads read it. `found` is by path, the rest by the stream's name."""

    paths: Mapping[str, str]
    found: Mapping[str, Schema]
    problems: Mapping[str, str]


class Schemas:
    """The schemas of the streams that one process exposes, and what is amiss with them."""

    def __init__(self, config: SchemaConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self.version = 0
        """Another one after each refresh that has changed what `of` gives."""
        self._state = _State({}, {}, {})
        self._said: dict[str, str] = {}
        self._answers: dict[str, Answer] = {}
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

    def set_catalogue(self, catalogue: Catalogue) -> None:
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
            pause = (ttl or None) if complete else min(ttl or SEARCH_RETRY_SECONDS, SEARCH_RETRY_SECONDS)

    async def refresh(self, catalogue: Catalogue) -> bool:
        """Look for the schemas of these streams; False where a fetch failed, and it is worth trying again soon."""
        async with self._one_at_a_time:
            return await self._refresh(catalogue)

    async def _refresh(self, catalogue: Catalogue) -> bool:
        paths = self._paths(catalogue)
        wanted = dict.fromkeys(paths.values())
        search = Search(self._config, self._answers, self._state.found)
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
        if (paths, found) != self._state[:2]:
            self.version += 1
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
