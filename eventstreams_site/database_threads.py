"""Threads that query the database, each over its own connection: one that hangs delays neither the others nor the stop.

concurrent.futures would join its threads when the interpreter ends; these are daemons.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connections

T = TypeVar("T")

WARM = 2
"""Threads that always run and take turns: if each answer takes two seconds, there can still be a query each second."""
MAX_THREADS = 4
"""Maximum number of threads of one `DatabaseThreads`, including those that are stuck."""
DEADLINE_SECONDS = 2.0
"""Seconds that the newest query runs before a further thread is started, if no thread is idle."""
IDLE_SECONDS = 30.0
"""Seconds after which a further thread that is not needed ends and closes its connection."""
SERVER_SECONDS = 2.0
"""Seconds after which the database cancels a statement, even if it waits for a lock."""
ANSWER_SECONDS = 4.0
"""Maximum seconds for an answer of PostgreSQL; then its connection is closed. The network may take half of them."""
CONNECT_SECONDS = 8
"""Maximum seconds for connecting, which takes several round trips."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": SERVER_SECONDS},
    "postgresql": {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": int(ANSWER_SECONDS * 1000),
        # The time zone as Django wants it saves Django three round trips.
        "options": f"-c statement_timeout={SERVER_SECONDS * 1000:.0f} -c lock_timeout={SERVER_SECONDS * 1000:.0f} "
        "-c timezone=UTC",
    },
}


class DatabaseThreads:
    """Runs queries in at most MAX_THREADS threads. Use it in an event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: deque[_Thread] = deque()
        self._count = 0
        self._asked_at = self._needed_at = float("-inf")

    def run(self, query: Callable[[], T]) -> asyncio.Future[T] | None:
        """Begin a query; return None if all threads are busy. The future's exception is the query's.

        Raises RuntimeError if the system cannot start a thread.
        """
        now = time.monotonic()
        is_late = not self._idle and self._count < MAX_THREADS and now > self._asked_at + DEADLINE_SECONDS
        if self._count < WARM or is_late:
            thread = _Thread(f"{self._name}-{self._count + 1}")
            self._count += 1
        elif self._idle:
            thread = self._idle.popleft()
        else:
            return None
        self._asked_at = now
        if len(self._idle) < WARM:
            self._needed_at = now
        elif now > self._needed_at + IDLE_SECONDS:
            self._idle.popleft().end()
            self._count -= 1
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            self._idle.append(thread)
            if not answer.done():
                if error is None:
                    answer.set_result(result)
                else:
                    answer.set_exception(error)

        def work() -> None:
            try:
                outcome: tuple[Any, BaseException | None] = query(), None
            except BaseException as error:
                outcome = None, error
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(functools.partial(done, *outcome))

        thread.work(work)
        return answer

    def close(self) -> None:
        """End the idle threads. Busy ones are left behind: they end with the process."""
        for thread in self._idle:
            thread.end()
        self._idle.clear()


class _Thread:
    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def work(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def end(self) -> None:
        self._jobs.put(None)

    def _run(self) -> None:
        _limit_this_threads_connection()
        while (job := self._jobs.get()) is not None:
            job()
        connections.close_all()


def _limit_this_threads_connection() -> None:
    """Give this thread its own connection settings: statements of the admin may take longer."""
    ours = connections["default"].copy()
    given = ours.settings_dict["OPTIONS"]
    limits = dict(_OPTIONS.get(ours.vendor, {}))
    if "options" in limits and given.get("options"):
        limits["options"] += f" {given['options']}"  # DATABASE_URL comes last, and wins
    ours.settings_dict["OPTIONS"] = {**given, **limits}
    connect = ours.get_new_connection

    def get_new_connection(parameters: dict[str, Any]) -> Any:
        connection = connect(parameters)
        if ours.vendor == "postgresql":  # psycopg would wait forever if the server or the network hangs
            connection.wait = functools.partial(connection.wait, timeout=ANSWER_SECONDS)
        return connection

    ours.get_new_connection = get_new_connection  # type: ignore[method-assign, assignment]
    connections["default"] = ours
