"""What the mirror has done, and how it goes, in words. Pure: times are handed in."""

from __future__ import annotations

from dataclasses import dataclass

REPORT_SECONDS = 10.0
"""Seconds between two lines; from this far behind the present on, a line says how long catching up takes."""


@dataclass
class Counts:
    """What the mirror has done since it started; `written` counts what readers of its Kafka see."""

    written: int = 0
    repeated: int = 0
    holes: int = 0
    gaps: int = 0
    canaries: int = 0
    unreadable: int = 0
    cuts: int = 0

    def sentence(self) -> str:
        """Return them in words; what never happened is left out."""
        parts = [f"{self.written:,} events written"]
        for count, words in (
            (self.repeated, "dropped as repeated"),
            (self.holes, "holes in offsets"),
            (self.gaps, "gaps reported"),
            (self.canaries, "canary events dropped"),
            (self.unreadable, "events that could not be read or written"),
            (self.cuts, "reconnects"),
        ):
            if count:
                parts.append(f"{count:,} {words}")
        return ", ".join(parts)


class Progress:
    """Says from time to time how it goes; silent while nothing happens."""

    def __init__(self, counts: Counts, started: float) -> None:
        """`counts` are read again for each line; `started` is a monotonic clock's time in seconds."""
        self._counts = counts
        self.newest_ms = 0
        """The newest timestamp of an event that came, in ms."""
        self._said = (started, 0, 0, counts.sentence())

    def line(self, now: float, epoch: float) -> str:
        """Return a line about the time since the last one, up to `now`; empty where nothing has happened.

        `now` is the monotonic clock's time, `epoch` that since the epoch, in seconds.
        """
        at, written, newest, sentence = self._said
        counts = self._counts
        if counts.sentence() == sentence:
            return ""
        rate = (counts.written - written) / max(0.001, now - at)
        behind = max(0.0, epoch - self.newest_ms / 1000) if self.newest_ms else 0.0
        gained = (self.newest_ms - newest) / 1000 / max(0.001, now - at) - 1 if newest else 0.0
        to_go = f", {behind / gained:,.0f} s to go" if behind > REPORT_SECONDS and gained > 0 else ""
        self._said = (now, counts.written, self.newest_ms, counts.sentence())
        return f"{counts.sentence()}; {rate:,.1f} a second, {behind:,.0f} s behind{to_go}"
