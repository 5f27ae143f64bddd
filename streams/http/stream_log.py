"""The log of streams that ended: one line for each, with a bounded number of lines a second.

Only streams that were opened have one, never refused requests. A line has the names of a filter's parameters, not their
values: a value may be the name of a redacted page or user, and must not be in any log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Protocol

from streams.core.filters import Filter

log = logging.getLogger(__name__)

LINES_A_SECOND = 10
"""Maximum lines in a second; a further line then says how many streams ended without one, by reason."""


class Sent(Protocol):
    """What was sent of a stream."""

    @property
    def events(self) -> int:
        """Events."""

    @property
    def nbytes(self) -> int:
        """Bytes of its body."""


@dataclass(frozen=True, slots=True)
class LoggedStream:
    """A stream, as its line will say it."""

    names: Collection[str]
    filter: Filter
    address: str
    sent: Sent | None
    began: float = field(default_factory=time.monotonic)


class StreamLog:
    """Writes the lines of one process. `addresses` is the setting `log_addresses`."""

    def __init__(self, addresses: str = "anonymous", clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._addresses = addresses
        self._second = float("-inf")
        """When the present second began (time.monotonic)."""
        self._lines = 0
        self._left_out: Counter[str] = Counter()

    def ended(self, stream: LoggedStream, reason: str) -> None:
        """Log the end of a stream, or count it if there are too many lines."""
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._lines = now, 0
        self._lines += 1
        if self._lines > LINES_A_SECOND:
            if not self._left_out:
                asyncio.get_running_loop().call_later(1.0, self._say_left_out)
            self._left_out[reason] += 1
            return
        fields: dict[str, object] = {
            "streams": ",".join(sorted(stream.names)),
            "filter": filter_names(stream.filter),
            "seconds": round(now - stream.began, 1),
            "events": stream.sent.events if stream.sent is not None else None,
            "bytes": stream.sent.nbytes if stream.sent is not None else None,
            "reason": reason,
        }
        if self._addresses != "none":
            full = self._addresses == "full"
            fields["address"] = stream.address if full else self.network(stream.address)
        log.info("A stream ended", extra={"fields": fields})

    def network(self, address: str) -> str:
        """Return what the status page may show of an address: its network, or nothing."""
        return "" if self._addresses == "none" else anonymous(address)

    def _say_left_out(self) -> None:
        left_out, self._left_out = self._left_out, Counter()
        fields = {"ended": left_out.total(), **{f"ended_{reason}": n for reason, n in sorted(left_out.items())}}
        log.info("Further streams ended, too many for a line each", extra={"fields": fields})


def filter_names(wanted: Filter) -> str:
    """Return the names of a filter's parameters, sorted, without their values."""
    return ",".join(sorted({part.partition("=")[0] for part in wanted.text.split("&") if part}))


def anonymous(address: str) -> str:
    """Return the network of an address: the /24, of IPv6 the /48; empty for what is no address."""
    try:
        known = ip_address(address)
    except ValueError:
        return ""
    prefix = 24 if isinstance(known, IPv4Address) else 48
    return str(ip_network(f"{known}/{prefix}", strict=False))
