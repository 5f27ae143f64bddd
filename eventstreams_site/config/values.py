"""Rules for the values of the configuration.

Each rule takes the value as YAML gives it and the folder that relative paths start from, returns the value of the
attribute of `Config`, and raises InvalidValueError.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redaction.entries.titles import NotAPageError, checked_domain, checked_title, is_address
from streams.catalogue.hosts import read_host

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PRIVATE_NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",  # loopback
        "::1/128",
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",  # RFC 4193, unique local
        "fe80::/10",  # link-local
    )
)


MAX_SECONDS = 366 * 24 * 60 * 60
"""Maximum seconds of a duration that is not shorter for its own reason: a year."""
OWN = ("_info", "admin", "healthz", "metrics", "rc", "readyz", "robots.txt", "schema", "static", "v2")
"""First segments of the service's own paths: it could not tell a prefix that begins with one from them."""


class InvalidValueError(Exception):
    """A value that a rule refuses; `at` says where inside the setting (``[2]``, ``.headers``)."""

    def __init__(self, value: object, expected: str, at: str = "") -> None:
        super().__init__(expected)
        self.value, self.expected, self.at = value, expected, at


def text(expected: str) -> Callable[[object, Path], str]:
    """Return a rule for text that is not empty."""

    def parse(value: object, _: Path) -> str:
        if not isinstance(value, str) or not value:
            raise InvalidValueError(value, expected)
        return value

    return parse


def matching(pattern: str, expected: str) -> Callable[[object, Path], str]:
    """Return a rule for text that the whole of `pattern` matches."""

    def parse(value: object, _: Path) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value, re.ASCII) is None:
            raise InvalidValueError(value, expected)
        return value

    return parse


def url_prefix(value: object, _: Path) -> str:
    """Return a path without a slash at its end; empty for none."""
    if not isinstance(value, str) or re.fullmatch(r"(?:/(?!\.{1,2}(?:/|$))[\w.~-]+)*/?", value, re.ASCII) is None:
        raise InvalidValueError(value, "a path of letters, digits and . _ ~ -, such as /events")
    path = value.rstrip("/")
    if path[1:].partition("/")[0] in OWN:
        raise InvalidValueError(value, f"a path whose first part is none of the service's own ({', '.join(OWN)})")
    return path


def integer(least: int, most: int, why: str = "", *, or_zero: bool = False) -> Callable[[object, Path], int]:
    """Return a rule for integers within bounds, or 0; true and false are none. `why` explains the bounds."""
    expected = _bounded("an integer", least, most, why, or_zero=or_zero)

    def parse(value: object, _: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not _is_within(value, least, most, or_zero):
            raise InvalidValueError(value, expected)
        return value

    return parse


def seconds(
    least: float = 0.0, most: float = MAX_SECONDS, why: str = "", *, or_zero: bool = False
) -> Callable[[object, Path], float]:
    """Return a rule for a duration in seconds, with or without a fraction, within bounds, or 0."""
    expected = _bounded("a number of seconds", least, most, why, or_zero=or_zero)

    def parse(value: object, _: Path) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_within(value, least, most, or_zero):
            return float(value)
        raise InvalidValueError(value, expected)

    return parse


def url(pattern: str, expected: str) -> Callable[[object, Path], str]:
    """Return a rule for URLs that the whole of `pattern` matches, with a host (but `unix:`) and a port that exists."""
    matches = matching(pattern, expected)

    def parse(value: object, folder: Path) -> str:
        text = matches(value, folder)
        if not text.startswith("unix:") and not names_host(text):
            raise InvalidValueError(value, f"{expected}, with a host and a port that exists")
        return text

    return parse


def names_host(text: str) -> bool:
    """Return whether a URL has a host, no port that cannot be, and neither blanks nor control characters."""
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0 and text.isprintable() and " " not in text
    except ValueError:
        return False


def _is_within(value: float, least: float, most: float, or_zero: bool) -> bool:
    return least <= value <= most or (or_zero and value == 0)


def _bounded(what: str, least: float, most: float, why: str, *, or_zero: bool) -> str:
    zero = "0, or " if or_zero else ""
    because = f" ({why})" if why else ""
    return f"{zero}{what} from {least:,} to {most:,}{because}; leave it out for the default"


def boolean(value: object, _: Path) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise InvalidValueError(value, "true or false")
    return value


def mapping(value: object, _: Path) -> Mapping[str, Any]:
    """Take a mapping whose keys are text."""
    if not isinstance(value, dict):
        raise InvalidValueError(value, "a mapping")
    for key in value:
        if not isinstance(key, str):
            raise InvalidValueError(key, "keys that are text; quote this one")
    return value


def stream_settings(value: object, folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """Take a mapping of stream names to mappings of settings."""
    streams = {}
    for name, settings in mapping(value, folder).items():
        if settings is not None and not isinstance(settings, dict):
            raise InvalidValueError(settings, "a mapping of the stream's settings", f".{name}")
        streams[name] = settings or {}
    return streams


def uri_options(value: object, folder: Path) -> Mapping[str, Any]:
    """Take the options of a fetch; `headers` is a mapping of text to text."""
    options = mapping(value, folder)
    headers = options.get("headers")
    if headers is not None and not isinstance(headers, dict):
        raise InvalidValueError(headers, "a mapping of header names to texts", ".headers")
    for name, header in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(header, str):
            raise InvalidValueError(header, "text; quote it if it looks like a number or a date", f".headers.{name}")
    return options


def texts(value: object, _: Path) -> tuple[str, ...]:
    """Take a list of texts."""
    if not isinstance(value, list):
        raise InvalidValueError(value, "a list of texts, such as [first, second]")
    for index, item in enumerate(value):
        if not isinstance(item, str) or not item:
            raise InvalidValueError(item, "text; quote it if it looks like a number or a date", f"[{index}]")
    return tuple(value)


def uri(value: object, folder: Path) -> str:
    """Return an absolute path, or the URL as it is."""
    if not isinstance(value, str) or not value:
        raise InvalidValueError(value, "a path, or a file:, http: or https: URL")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", value)
    if "\0" in value:
        raise InvalidValueError(value, "a path, or a file:, http: or https: URL, without a zero byte")
    if scheme is None:
        return str(folder / value)
    if scheme[1].lower() not in {"file", "http", "https"} or not re.match(r"[^:]+:/", value):
        raise InvalidValueError(value, "a path (without a scheme if it is relative), or a file:, http: or https: URL")
    if scheme[1].lower() != "file" and not names_host(value):
        raise InvalidValueError(value, "a URL without blanks, with a host and a port that exists")
    return value


def uris(value: object, folder: Path) -> tuple[str, ...]:
    """Take a list of paths and URLs."""
    absolute = []
    for index, item in enumerate(texts(value, folder)):
        try:
            absolute.append(uri(item, folder))
        except InvalidValueError as invalid:
            raise InvalidValueError(item, invalid.expected, f"[{index}]") from None
    return tuple(absolute)


def hosts(value: object, folder: Path) -> tuple[str, ...]:
    """Take a list of hosts with or without a port, and return them in one spelling."""
    found = []
    for index, text in enumerate(texts(value, folder)):
        try:
            found.append(str(read_host(text)))
        except ValueError:
            expected = "a host such as schema.example.org or schema.example.org:8443, without scheme or path"
            raise InvalidValueError(text, expected, f"[{index}]") from None
    return tuple(found)


def redacted_pages(value: object, folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Take a mapping of domains, as events have them, to lists of page titles.

    Titles that can match no event are refused: they would redact nothing. As in the admin, the domain of the mobile
    site stands for that of its wiki.
    """
    pages: dict[str, tuple[str, ...]] = {}
    for domain, titles in mapping(value, folder).items():
        at = f".{domain}"
        try:
            name = checked_domain(domain)
        except NotAPageError as error:
            raise InvalidValueError(domain, f"the domain of a wiki: {error}", at) from None
        if not isinstance(titles, list):
            raise InvalidValueError(titles, "a domain, and under it a list of page titles", at)
        for index, title in enumerate(titles):
            _check_title(title, f"{at}[{index}]")
        pages[name] = (*pages.get(name, ()), *titles)
    return pages


def _check_title(title: object, at: str) -> None:
    expected = "a page title (quote one that has a colon or begins with a sign)"
    if not isinstance(title, str):
        raise InvalidValueError(title, expected, at)
    if is_address(title):
        raise InvalidValueError(title, f"{expected}: this is the address of a page; write its title alone", at)
    try:
        checked_title(title)
    except NotAPageError as error:
        raise InvalidValueError(title, f"{expected}: {error}", at) from None


def cors_origin(value: object, _: Path) -> str:
    """Take "*", one origin (WHATWG Fetch allows no list) or false, which becomes the empty text."""
    if value is None or value is False or value == "":
        return ""
    if value == "*":
        return "*"
    origin = r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d+)?"
    if isinstance(value, str) and re.fullmatch(origin, value, re.ASCII | re.IGNORECASE) and names_host(value):
        return value.lower()  # browsers send it so
    raise InvalidValueError(value, '"*", one origin such as https://example.org, or false')


def networks(value: object, folder: Path) -> tuple[Network, ...]:
    """Take a list of addresses and networks, IPv4 or IPv6."""
    parsed = []
    for index, item in enumerate(texts(value, folder)):
        try:
            parsed.append(ipaddress.ip_network(item))
        except ValueError as error:
            expected = f"an address or a network, such as 10.0.0.0/8 ({error})"
            raise InvalidValueError(item, expected, f"[{index}]") from None
    return tuple(parsed)
