"""Which chains there are in a process, and which of them have a window.

All clients of a feed are sent the same events, so a chain mixes nothing that different clients may see.
"""

from __future__ import annotations

import functools

from streams.engine.compress.body import Body
from streams.engine.compress.chain import Chain
from streams.engine.compress.codings import codings
from streams.engine.metrics import Metrics
from streams.engine.tail.cohort import Sink
from streams.engine.tail.feed import Feed
from streams.engine.tuning import Tuning


class Compression:
    """A chain for each feed, format and coding that clients ask for; it goes with the last of these.

    A window takes up memory, so there is a maximum of them. A chain that finds all in use does without: its clients get
    pieces that stand alone. One that has been quiet gives its window to others.
    """

    def __init__(self, metrics: Metrics, tuning: Tuning) -> None:
        self._tuning = tuning
        self._codings = codings()
        self._chains: dict[tuple[Feed, bool, str], Chain] = {}
        self._open: dict[Chain, None] = {}
        """Those that have a window, the one that was quiet for longest first."""
        self._counts = {name: [0, 0] for name in self._codings}
        """By coding: bytes of compressed clients, before and after."""
        told = (
            ("in", "Body bytes handed to clients with compression, before compression"),
            ("out", "Body bytes handed to clients with compression, after compression"),
        )
        for index, (which, text) in enumerate(told):
            metrics.count_by(
                f"eventstreams_compression_{which}_bytes", text, "coding", functools.partial(self._of, index)
            )
        text = "Common windows of compression held in memory now, about 350 kB each"
        metrics.gauge_by("eventstreams_compression_windows", text, "", lambda: {"": self.windows})

    def body(self, name: str, feed: Feed, sink: Sink | None, *, is_sse: bool) -> Body:
        """Return the body of a client of a feed, in the coding of that name."""
        key = feed, is_sse, name
        chain = self._chains.get(key)
        if chain is None:
            chain = Chain(self._codings[name], feed, self._may_open, self._tuning, is_sse=is_sse)
            self._chains[key] = chain
        chain.clients += 1
        return Body(chain, sink, self._counts[name])

    def give_back(self, body: Body) -> None:
        """Count one client of a chain fewer."""
        chain = body.chain
        chain.clients -= 1
        if not chain.clients:
            del self._chains[chain.feed, chain.is_sse, chain.name]
            self._close(chain)
            chain.feed.forget_steps()  # their forms are of this chain, and no next one continues them

    @property
    def windows(self) -> int:
        """How many chains have a window."""
        return len(self._open)

    def _of(self, index: int) -> dict[str, float]:
        return {name: counts[index] for name, counts in self._counts.items()}

    def forget(self) -> None:
        """Drop all that was compressed: another redaction list is in force (invariant 5)."""
        for chain in list(self._open):
            self._close(chain)
        for coding in self._codings.values():
            coding.forget()

    def _may_open(self, chain: Chain, now: float) -> bool:
        """Return whether the chain may have a window now."""
        is_open = chain in self._open
        while self._open and (quietest := next(iter(self._open))) is not chain:
            is_full = not is_open and len(self._open) >= self._tuning.compression_windows
            # After the time of a window it would begin another one anyway.
            seconds = self._tuning.compression_seconds if is_full else self._tuning.compression_idle_seconds
            if now < quietest.used_at + seconds:
                if is_full:
                    return False
                break
            self._close(quietest)
        self._open.pop(chain, None)
        self._open[chain] = None  # the last one now
        return True

    def _close(self, chain: Chain) -> None:
        chain.close()
        self._open.pop(chain, None)
