"""Hosts that the configuration names, and whether a URL points to one of them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)


class Host(NamedTuple):
    """A name in lower case, or an IP address as `ipaddress` writes it; `port` None: the scheme's default."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        """Return it as `read_host` reads it."""
        if self.port is None:
            return self.name
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


def read_host(text: str) -> Host:
    """Return the host of `host`, `host:port`, an IPv6 address or `[address]:port`.

    Raises:
        ValueError: It is none of these.
    """
    bracketed = re.fullmatch(r"\[([^]]*)\](?::(\d{1,5}))?", text)
    if bracketed is not None:
        address, port = bracketed.groups()
        name = str(ipaddress.IPv6Address(address))
    elif text.count(":") > 1:
        name, port = text, None
    else:
        name, colon, port = text.partition(":")
        port = port if colon else None
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(f"{port} is not a port")
    return Host(_name(name), None if port is None else int(port))


def is_at(uri: str, hosts: Collection[str]) -> bool:
    """Return whether `uri` is an http(s) URL at one of the hosts, for every library that reads it.

    A host without a port stands for the default port of the URL's scheme only, 80 or 443.
    """
    # Libraries disagree on backslashes, spaces and user names in URLs: none is needed here.
    if re.fullmatch(r"[!-~]+", uri) is None or "\\" in uri:
        return False
    try:
        parts = urlsplit(uri)
        usual = _PORTS[parts.scheme]
        port = usual if parts.port is None else parts.port
        found = Host(_name(parts.hostname or ""), port)
    except (ValueError, KeyError):
        return False
    if "@" in parts.netloc:
        return False
    named = (read_host(host) for host in hosts)
    return found in {host if host.port is not None else host._replace(port=usual) for host in named}


def _name(text: str) -> str:
    """Return one spelling of each name: lower case, without a final dot."""
    if ":" in text:
        return str(ipaddress.IPv6Address(text))
    name = text.lower().removesuffix(".")
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{text!r} is not the name of a host")
    return name
