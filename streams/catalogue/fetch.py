"""Fetches a small document from a path or a ``file:``, ``http:`` or ``https:`` URL.

Time is limited as a whole, size before and after decompression. Messages never contain secrets: no values of headers,
no credentials in URLs.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import ssl
import stat
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx

from streams.catalogue.inflate import ENCODINGS, Inflate, InflateError

CONNECT_SECONDS = 5.0
"""Maximum seconds to connect."""
READ_SECONDS = 10.0
"""Maximum seconds between two reads from a server."""
TOTAL_SECONDS = 30.0
"""Maximum seconds of a fetch."""
MAX_BYTES = 16 * 1024 * 1024
"""Maximum bytes of a document, compressed and decompressed."""
MAX_REDIRECTS = 3

_ABSENT_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_ABSENT = {404, 410}
_REDIRECTS = {301, 302, 303, 307, 308}
_FILE = re.compile(r"file:", re.IGNORECASE)
_HTTP = re.compile(r"https?:", re.IGNORECASE)
_WELL_FORMED = re.compile(r"https?://(?:[^/?#@]*@)?(?:\[[^]/?#@]*\]|[^]:/?#@[]*)(?::[0-9]*)?(?:[/?#]|$)", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")
_SECRET = re.compile(r"([?&;][^=&;#]*(?:key|token|secret|passw|auth|sig)[^=&;#]*=)[^&;#]*", re.IGNORECASE)

# It logs the URL of each request at INFO, with its credentials.
logging.getLogger("httpx").setLevel(logging.WARNING)


class FetchError(Exception):
    """The document could not be fetched; the message names the place and the reason."""


class AbsentError(FetchError):
    """The place answers, but does not have the document."""


class Validators(NamedTuple):
    """Headers that came with a document, to ask later whether it has changed (RFC 9110, 8.8)."""

    etag: str | None
    last_modified: str | None


class Fetched(NamedTuple):
    """A document; `validators` is None if its source gave none."""

    text: str
    validators: Validators | None


class _NotModified(Enum):
    NOT_MODIFIED = "not modified"


NOT_MODIFIED: Final = _NotModified.NOT_MODIFIED


def fetch(
    uri: str,
    options: Mapping[str, Any],
    known: Validators | None = None,
    *,
    may_lead_to: Callable[[str], bool] = lambda _: True,
) -> Fetched | Literal[_NotModified.NOT_MODIFIED]:
    """Return the document at `uri`, as UTF-8 text; NOT_MODIFIED if the server says that it is still that of `known`.

    It blocks for at most about TOTAL_SECONDS: call it in a thread if there is an event loop.

    Args:
        uri: A path or URL.
        options: ``headers``, a mapping of names to texts, sent to the server of `uri` only, not after a redirect to
            another.
        known: The validators of the document that the caller has.
        may_lead_to: Whether a redirect to this URL may be followed.

    Raises:
        FetchError: The document could not be fetched.
        AbsentError: It does not exist there.
    """
    if _HTTP.match(uri):
        return asyncio.run(_ask(uri, _checked(uri, options.get("headers") or {}), known, may_lead_to))
    return Fetched(_text(uri, _read(uri)), None)


def shown(uri: str) -> str:
    """Return the URI for messages: without a password and without parameters that look like secrets."""
    if not _HTTP.match(uri):
        return uri
    # A malformed URL may have a slash in its password: then everything up to the last @ is hidden.
    before_at = r"(?<=//)[^/?#]*@" if _WELL_FORMED.match(uri) else r"(?<=//).*@"
    return _SECRET.sub(r"\1***", re.sub(before_at, "***@", uri, count=1, flags=re.DOTALL))


# Files.


def _read(uri: str) -> bytes:
    path = _path(uri)
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # reading a pipe would block
            raise FetchError(f"{uri}: not a file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        kind_of_error = AbsentError if isinstance(error, _ABSENT_FILE) else FetchError
        raise kind_of_error(f"{uri}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > MAX_BYTES:
        raise _too_large(uri)
    return content


def _path(uri: str) -> Path:
    if not _FILE.match(uri):
        return Path(uri)
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise FetchError(f"{uri}: expected a file: URL with an absolute path on this host, such as file:///etc/x.yaml")
    return Path(unquote(parts.path))  # RFC 8089


def _text(uri: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchError(f"{shown(uri)}: it is not UTF-8 text (byte {error.start})") from None


def _too_large(uri: str) -> FetchError:
    return FetchError(f"{shown(uri)}: it is larger than {MAX_BYTES} bytes")


# HTTP.


def _checked(uri: str, headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(value) is None:
            raise FetchError(f"{shown(uri)}: the header {name!r} cannot be sent; use printable ASCII only")
    return dict(headers)


async def _ask(
    uri: str, headers: Mapping[str, str], known: Validators | None, may_lead_to: Callable[[str], bool]
) -> Fetched | Literal[_NotModified.NOT_MODIFIED]:
    where = shown(uri)
    try:
        async with (
            asyncio.timeout(TOTAL_SECONDS),
            httpx.AsyncClient(
                timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS), verify=_trusted()
            ) as client,
        ):
            return await _follow(client, uri, headers, known, may_lead_to)
    except TimeoutError:
        raise FetchError(f"{where}: no complete answer within {TOTAL_SECONDS:g} s") from None
    except httpx.ConnectTimeout:
        raise FetchError(f"{where}: no connection within {CONNECT_SECONDS:g} s") from None
    except httpx.TimeoutException:
        raise FetchError(f"{where}: no answer within {READ_SECONDS:g} s") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):  # their messages may quote a password
        raise FetchError(f"{where}: it is not a valid URL") from None
    except httpx.ConnectError as error:
        raise FetchError(f"{where}: no connection: {error}") from None
    except httpx.HTTPError as error:
        raise FetchError(f"{where}: {str(error) or type(error).__name__}") from None


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return the authorities that this machine trusts, to which a site adds its own. Reading them takes long."""
    return ssl.create_default_context()


async def _follow(
    client: httpx.AsyncClient,
    uri: str,
    headers: Mapping[str, str],
    known: Validators | None,
    may_lead_to: Callable[[str], bool],
) -> Fetched | Literal[_NotModified.NOT_MODIFIED]:
    start = url = httpx.URL(uri)
    for _ in range(MAX_REDIRECTS + 1):
        request = _standard_headers(known)
        if _origin(url) == _origin(start):
            request.update(headers)  # meant for this server only
        async with client.stream("GET", url, headers=request) as response:
            status = response.status_code
            if status in _REDIRECTS:
                url = _redirected(uri, response, may_lead_to)
            elif status == httpx.codes.NOT_MODIFIED and known is not None:
                return NOT_MODIFIED
            elif status == httpx.codes.OK:
                return Fetched(_text(uri, await _body(uri, response)), _validators(response))
            else:
                kind = AbsentError if status in _ABSENT else FetchError
                raise kind(f"{shown(uri)}: the answer is {status} {response.reason_phrase}".rstrip())
    raise FetchError(f"{shown(uri)}: more than {MAX_REDIRECTS} redirects")


def _standard_headers(known: Validators | None) -> httpx.Headers:
    headers = httpx.Headers(
        {
            "User-Agent": "EventStreams",
            "Accept": "application/json, application/yaml, text/yaml, */*;q=0.5",
            "Accept-Encoding": ", ".join(ENCODINGS),
        }
    )
    if known is not None and known.etag is not None:
        headers["If-None-Match"] = known.etag
    if known is not None and known.last_modified is not None:
        headers["If-Modified-Since"] = known.last_modified
    return headers


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _redirected(uri: str, response: httpx.Response, may_lead_to: Callable[[str], bool]) -> httpx.URL:
    url = response.url.join(response.headers.get("Location", ""))
    if (
        url.scheme not in {"http", "https"}
        or (response.url.scheme == "https" and url.scheme == "http")
        or not may_lead_to(str(url))
    ):
        raise FetchError(f"{shown(uri)}: it redirects to {shown(str(url))}, which is not followed")
    return url


def _validators(response: httpx.Response) -> Validators | None:
    found = [response.headers.get(name) for name in ("ETag", "Last-Modified")]
    etag, last_modified = (text if text and _HEADER_VALUE.fullmatch(text) else None for text in found)
    return Validators(etag, last_modified) if etag or last_modified else None


async def _body(uri: str, response: httpx.Response) -> bytes:
    """Return the body, decompressed; at most MAX_BYTES are read, and at most MAX_BYTES come out."""
    if int(response.headers.get("Content-Length", "0")) > MAX_BYTES:
        raise _too_large(uri)
    encoding = response.headers.get("Content-Encoding", "").strip().lower().removeprefix("x-") or "identity"
    if encoding != "identity" and encoding not in ENCODINGS:
        raise FetchError(
            f"{shown(uri)}: its Content-Encoding is {encoding!r}; only {' and '.join(ENCODINGS)} were offered"
        )
    inflate = None if encoding == "identity" else Inflate(encoding)
    body, taken = bytearray(), 0
    try:
        async for piece in response.aiter_raw():
            taken += len(piece)
            found = piece if inflate is None else inflate.decode(piece, MAX_BYTES - len(body))
            if found is None or max(taken, len(body) + len(found)) > MAX_BYTES:
                raise _too_large(uri)
            body += found
        if inflate is not None:
            inflate.finish()
    except InflateError as error:
        raise FetchError(f"{shown(uri)}: it {error}") from None
    return bytes(body)
