"""The address by which a client's connections are counted.

Source: wire contract, "Configuration" (`client_ip_header`, `trusted_proxies`).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from streams.http.requests import Scope, header

log = logging.getLogger(__name__)

WARN_SECONDS = 3600.0
"""Minimum seconds between two warnings that a header with an address was ignored."""
LONGEST_ADDRESS = 100
"""Maximum characters of an address, with a zone and a port; longer texts are no addresses, and are not cached."""

_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+):\d+", re.ASCII)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def client_ip(scope: Scope, header_name: str, trusted: Iterable[Network]) -> str:
    """Return the address to count: IPv4, or the first address of an IPv6 /64, since a customer gets a whole /64.

    The header only counts if a trusted proxy sent it; otherwise the peer's own address does. Of a list
    (X-Forwarded-For), the rightmost address counts that is not a trusted proxy: clients can forge everything left of
    it, and everything left of what is not an address.
    """
    networks = list(trusted)
    peer_text = (scope.get("client") or ["", 0])[0]
    peer = _address(peer_text)
    if peer is None:
        return str(peer_text)
    claimed = header(scope, header_name.lower().encode())
    if not _is_in(peer, networks):
        if claimed is not None:
            _warning.log(peer, header_name)
        return _counted(peer)
    nearest = peer
    for text in reversed((claimed or "").split(",")):
        if not text.strip():
            continue
        address = _address(text)
        if address is None:
            break
        nearest = address
        if not _is_in(address, networks):
            break
    return _counted(nearest)


class _Warning:
    """Logged at most once in WARN_SECONDS: if the peer is a proxy, all its clients count as one."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def log(self, peer: Address, header_name: str) -> None:
        if time.monotonic() - self._logged_at <= WARN_SECONDS:
            return
        self._logged_at = time.monotonic()
        log.warning(
            "Ignored the header %s from %s, which is not in trusted_proxies. If this is your proxy, add its network to "
            "trusted_proxies; if it is a client, nothing needs to be done",
            header_name,
            peer,
        )


_warning = _Warning()


def _counted(address: Address) -> str:
    if isinstance(address, IPv6Address) and not address.is_loopback:
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _address(text: str) -> Address | None:
    """Return the address, with or without a port; None if it is none."""
    text = text.strip()
    return _parsed(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(4096)  # the same clients and proxies come again and again
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
