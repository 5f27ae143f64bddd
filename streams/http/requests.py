"""What a client asked for: an ASGI scope becomes a StreamRequest.

Source: wire contract, "Routes", "The two formats", "Choosing where to start", "Choosing events".
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from streams.core.errors import InvalidFilter, InvalidLastEventId, InvalidTimestamp, TooManyStreams
from streams.core.filters import Filter, parse_filter
from streams.core.formats import iso_time
from streams.core.positions import LastEventId, parse_last_event_id
from streams.core.since import parse_since
from streams.http.negotiation import Format, names_event_stream, negotiate

log = logging.getLogger(__name__)

STREAM_PATH = "/v2/stream/"
FLOW_EXTENSION = "eventstreams.flow"
"""In scope["extensions"]: whether the client's socket takes more, and how to write shared parts (see server.py)."""
ID_PARAMETERS = ("lastEventId", "last-event-id", "last_event_id")
"""For polyfills that cannot set headers."""

LIMITS = (1, 10**9)
"""The least and the greatest `limit`, in events."""
CHECKPOINT_SECONDS = (5, 3600)
"""The shortest and the longest `checkpoint`."""

LONGEST_QUERY = 2_000
"""Characters of a query in which `parameters` looks."""
WARN_SECONDS = 3600.0
"""Seconds between two warnings that the address of a client is sent by a peer that is not believed."""
LONGEST_ADDRESS = 100
"""Characters; with a zone and a port. What is longer is no address, and is not remembered."""

_INTEGER = re.compile(r"[0-9]{1,10}", re.ASCII)
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+):\d+", re.ASCII)

_warned_at = float("-inf")

Scope = Mapping[str, Any]
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class StreamRequest:
    """A request for streams, read but not yet judged: the methods that can fail raise the contract's errors."""

    method: str
    uri: str
    path: str
    format: Format
    names_event_stream: bool
    last_event_ids: tuple[str, ...]
    """What was given as an id: different texts, none of them empty."""
    since_texts: tuple[str, ...]
    until_texts: tuple[str, ...]
    limit_texts: tuple[str, ...]
    checkpoint_texts: tuple[str, ...]
    query: bytes

    @classmethod
    def from_scope(cls, scope: Scope) -> StreamRequest:
        accept = header(scope, b"accept")
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        ids = [header_values(scope, b"last-event-id"), *(query.get(name, []) for name in ID_PARAMETERS)]
        return cls(
            method=scope["method"],
            uri=request_uri(scope),
            path=scope["path"],
            format=negotiate(accept),
            names_event_stream=names_event_stream(accept),
            last_event_ids=next(filter(None, map(_different, ids)), ()),
            since_texts=tuple(query.get("since", ())),
            until_texts=tuple(query.get("until", ())),
            limit_texts=tuple(filter(None, query.get("limit", ()))),
            checkpoint_texts=tuple(filter(None, query.get("checkpoint", ()))),
            query=scope["query_string"],
        )

    @property
    def may_be_told_by_event(self) -> bool:
        """Whether the client speaks SSE for certain, so that an error can be an event, after which it reconnects."""
        return self.format.is_sse and (self.has_id or self.names_event_stream)

    @property
    def has_id(self) -> bool:
        return bool(self.last_event_ids)

    def stream_names(self, limit: int) -> list[str]:
        """The names asked for, each once; an empty one is no stream's. Raises TooManyStreams."""
        names = list(dict.fromkeys(self.path.removeprefix(STREAM_PATH).removesuffix("/").split(",")))
        if len(names) > limit:
            raise TooManyStreams(len(names), limit)
        return names

    def since(self) -> int | None:
        """The time asked for, in ms, None where none was. Raises InvalidTimestamp."""
        return _time("since", self.since_texts)

    def until(self) -> int | None:
        """Return the time before which the stream ends, in ms, None where none was given. Raises InvalidTimestamp."""
        since, until = self.since(), _time("until", self.until_texts)
        if until is not None and since is not None and until <= since:
            raise InvalidTimestamp(
                f"until ({iso_time(until)}) is not after since ({iso_time(since)}); the stream would have no events"
            )
        return until

    def limit(self) -> int | None:
        """Return how many events are wanted, None where all are. Raises InvalidFilter."""
        return _integer("limit", self.limit_texts, LIMITS, "events")

    def checkpoint(self) -> int | None:
        """Return the seconds without an event before a checkpoint is sent, None for never. Raises InvalidFilter."""
        return _integer("checkpoint", self.checkpoint_texts, CHECKPOINT_SECONDS, "seconds")

    def filter(self) -> Filter:
        """Return which events are wanted. Raises InvalidFilter."""
        return parse_filter(self.query)

    def last_event_id(self) -> LastEventId | None:
        """The id to resume at, None where none was given. Raises InvalidLastEventId."""
        if len(self.last_event_ids) > 1:
            raise InvalidLastEventId(
                f"Last-Event-ID was given with {len(self.last_event_ids)} different values; send one"
            )
        return parse_last_event_id(self.last_event_ids[0]) if self.last_event_ids else None


def _time(name: str, texts: tuple[str, ...]) -> int | None:
    if len(texts) > 1:
        raise InvalidTimestamp(f"{name} was given more than once; give it once")
    return parse_since(texts[0], name) if texts and texts[0] else None


def _integer(name: str, texts: tuple[str, ...], bounds: tuple[int, int], unit: str) -> int | None:
    if not texts:
        return None
    expected = f"a whole number of {unit} from {bounds[0]} to {bounds[1]}"
    if len(texts) > 1:
        raise InvalidFilter(f"{name} was given more than once; give it once, as {expected}")
    if not _INTEGER.fullmatch(texts[0]) or not bounds[0] <= int(texts[0]) <= bounds[1]:
        raise InvalidFilter.of_value(name, texts[0], expected)
    return int(texts[0])


def _different(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text once, without blanks around it, and no empty one: an empty id counts as none."""
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def header_values(scope: Scope, name: bytes) -> list[str]:
    """The values of all request headers of a name."""
    return [value.decode("utf-8", "replace") for key, value in scope["headers"] if key == name]


def header(scope: Scope, name: bytes) -> str | None:
    """A request header; several of one name are one list (RFC 9110, 5.3)."""
    values = header_values(scope, name)
    return ", ".join(values) if values else None


def request_uri(scope: Scope) -> str:
    """Path and query as they were sent."""
    uri: bytes = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        uri += b"?" + scope["query_string"]
    return uri.decode("latin-1")


def parameters(scope: Scope) -> dict[str, str]:
    """Return the query's parameters by name, the first of each; of a long query only what its beginning has: reading
    64 kB of it would hold up everybody.
    """
    pairs = parse_qsl(scope["query_string"][:LONGEST_QUERY].decode("latin-1"), keep_blank_values=True)
    return dict(reversed(pairs))


def client_ip(scope: Scope, header_name: str, trusted: Iterable[Network]) -> str:
    """Return whose connection it is: an IPv4 address, or the first address of an IPv6 /64, which is what one customer
    is given. The header counts only where a trusted proxy sent it, else the peer itself does.

    Where the header holds a list (X-Forwarded-For), the rightmost address that is not a trusted proxy's own; what
    stands left of that, or of what is no address, anybody may have written.
    """
    networks = list(trusted)
    peer_text = (scope.get("client") or ["", 0])[0]
    peer = _address(peer_text)
    if peer is None:
        return str(peer_text)
    if not _is_in(peer, networks):
        if header(scope, header_name.lower().encode()) is not None:
            _warn(peer, header_name)
        return _counted(peer)
    nearest = peer
    for text in reversed((header(scope, header_name.lower().encode()) or "").split(",")):
        if not text.strip():
            continue
        address = _address(text)
        if address is None:
            break
        nearest = address
        if not _is_in(address, networks):
            break
    return _counted(nearest)


def _warn(peer: Address, header_name: str) -> None:
    """Say it once an hour: where the peer is a proxy, all its clients count as one; anybody else may send it too."""
    global _warned_at
    if time.monotonic() - _warned_at > WARN_SECONDS:
        _warned_at = time.monotonic()
        log.warning(
            "%s sends the header %s, which is ignored, since it is not in trusted_proxies. If this is your proxy, add "
            "its network to trusted_proxies; if it is a client, nothing needs to be done",
            peer,
            header_name,
        )


def _counted(address: Address) -> str:
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _address(text: str) -> Address | None:
    """The address, with or without a port."""
    text = text.strip()
    return _parsed(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(4096)  # the same clients, and proxies, come again and again
def _parsed(text: str) -> Address | None:
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port[1] or with_port[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
