"""Decides which requests may use Django, and in which thread. The numbers that run and that wait are bounded.

Django would start a thread for each request, and join it on the event loop. Here the threads stay: one for each request
that runs (a lane); requests without a session share a single one.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from streams.core.errors import AdminOverloaded

LANES = 6
"""Maximum number of requests that run at a time: three may be tests of a redaction, of up to a minute each."""
STRANGERS = 1
"""Maximum number of these without a session: comparing a password takes a third of a second of a core."""
WAITING = 64
"""Maximum number of requests with a session that wait for a lane."""
STRANGERS_WAITING = 16
"""Maximum number of requests without a session that wait: the last one waits for a few seconds."""
PER_ADDRESS = 12
"""Maximum number of requests of one address that run or wait: a browser opens six connections."""


class Lane(Executor):
    """One thread, started when first needed. It is a daemon: a database that hangs does not delay the exit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Run a function in the thread, after those submitted before (concurrent.futures)."""
        future: Future[Any] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments, **named))
                except BaseException as error:
                    future.set_exception(error)

        self._work.put(work)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return future

    def _run(self) -> None:
        while True:
            self._work.get()()


@dataclass
class _Kind:
    may_run: int
    may_wait: int
    running: int = 0
    waiting: deque[Turn] = field(default_factory=deque)


@dataclass(eq=False)
class Turn:
    """The place of a request in the queue: `begun` gives its lane once one is free."""

    address: str
    kind: _Kind
    begun: asyncio.Future[Lane]


class Lanes:
    """The lanes and the queues before them. Call `end` after each `ask`."""

    def __init__(self) -> None:
        self._free = [Lane(f"django-{number}") for number in range(LANES)]
        self._strangers = _Kind(STRANGERS, STRANGERS_WAITING)
        self._known = _Kind(LANES, WAITING)
        self._by_address: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """Return how many requests run."""
        return LANES - len(self._free)

    @property
    def waiting(self) -> int:
        """Return how many requests wait."""
        return len(self._strangers.waiting) + len(self._known.waiting)

    def ask(self, address: str, *, is_stranger: bool) -> Turn:
        """Return a place in the queue. Raises AdminOverloaded."""
        kind = self._strangers if is_stranger else self._known
        if self._by_address[address] >= PER_ADDRESS or len(kind.waiting) >= kind.may_wait:
            raise AdminOverloaded
        self._by_address[address] += 1
        turn = Turn(address, kind, asyncio.get_running_loop().create_future())
        kind.waiting.append(turn)
        self._start_waiting()
        return turn

    def end(self, turn: Turn) -> None:
        """Give the lane back, or leave the queue."""
        if turn.begun.done():
            self._free.append(turn.begun.result())
            turn.kind.running -= 1
        else:
            turn.kind.waiting.remove(turn)
        self._by_address[turn.address] -= 1
        if not self._by_address[turn.address]:
            del self._by_address[turn.address]
        self._start_waiting()

    def _start_waiting(self) -> None:
        for kind in (self._known, self._strangers):
            while kind.waiting and kind.running < kind.may_run and self._free:
                kind.running += 1
                kind.waiting.popleft().begun.set_result(self._free.pop())
