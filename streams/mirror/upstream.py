"""The service that is mirrored, as a polite guest reads it: one connection, a name to turn to, patience when refused.

Source: wire contract, "When something is wrong after the client has committed to SSE"; RFC 9110, 10.2.3 (Retry-After).
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx

from streams.core.sse_parser import Item, SseParser

CONNECT_SECONDS = 15.0
SILENCE_SECONDS = 90.0
"""Seconds of silence after which a connection is closed: the old service sends no keep-alives."""
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
MAX_PAUSE_ASKED_SECONDS = 3600.0
_MAX_PROBLEM_BYTES = 1 << 16


class UpstreamError(Exception):
    """The service refuses what is asked of it, and will again; the text says what, and what to do."""


class Refused(UpstreamError):
    """The service answers that the request itself is wrong: a stream or a topic that it does not have, an id."""


class Unavailable(Exception):
    """The service cannot be read just now; `seconds` is how long it asks to wait, if it does."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        """`why` is a sentence's part; `seconds` is at most an hour."""
        super().__init__(why)
        self.seconds = None if seconds is None else min(seconds, MAX_PAUSE_ASKED_SECONDS)


class Pauses:
    """How long to wait before each attempt: twice as long each time, until something came, and never in step."""

    def __init__(self, first: float = FIRST_PAUSE_SECONDS) -> None:
        """`first` is the longest that the first pause may be, in seconds."""
        self._first = self._next = first
        self._asked = 0.0

    def succeeded(self) -> None:
        """Start again at the shortest wait: the service has sent something."""
        self._next = self._first

    def asked(self, ms: int) -> None:
        """The service has sent `retry:`, in ms; it counts for the next attempt."""
        self._asked = ms / 1000

    def seconds(self, at_least: float | None) -> float:
        """Return the pause before the next attempt, no shorter than the service has asked for."""
        pause = random.uniform(0.5, 1.0) * self._next
        self._next = min(2 * self._next, LONGEST_PAUSE_SECONDS)
        asked, self._asked = self._asked, 0.0
        return max(pause, asked, at_least or 0.0)


class Upstream:
    """The streams `names` of the service at `url`; `contact` tells its operators whom to write to."""

    def __init__(self, url: str, names: list[str], contact: str, version: str) -> None:
        """`contact` is a mail address or a page, as Wikimedia's policy for user agents asks."""
        self.site = url.rstrip("/")
        self.transport: httpx.AsyncBaseTransport | None = None
        """How it is reached; None: over the network."""
        self.names = names
        self._path = f"{self.site}/v2/stream/{','.join(quote(name, safe='') for name in names)}"
        self._headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": f"eventstreams-mirror/{version} ({contact})",
        }

    async def check(self) -> None:
        """Open the streams once and close them. Raises as `read` does."""
        async with self._opened("", ""):
            pass

    async def read(self, last_event_id: str, since: str) -> AsyncIterator[list[Item]]:
        """Yield what comes on one connection, as it comes, until the service ends it.

        Raises Unavailable where it cannot be read now, and UpstreamError where trying again is no use.
        """
        async with self._opened(last_event_id, since) as response:
            parser = SseParser()
            async for chunk in response.aiter_bytes():
                yield parser.feed(chunk)

    @asynccontextmanager
    async def _opened(self, last_event_id: str, since: str) -> AsyncIterator[httpx.Response]:
        headers = self._headers | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        url = self._path + (f"?since={quote(since)}" if since and not last_event_id else "")
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, transport=self.transport) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise await self._refusal(response)
                kind = response.headers.get("Content-Type", "nothing")
                if kind.partition(";")[0].strip().lower() != "text/event-stream":
                    raise Unavailable(
                        f"{self.site} answered with {kind[:80]} instead of events: is it the right address, and is "
                        "there a page in between, such as a login?"
                    )
                yield response
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UpstreamError(f"{self.site} is not an address of a service: {error}") from None
        except httpx.RemoteProtocolError as error:
            # After a colon it quotes what came, which may be part of an event.
            raise Unavailable(f"{self.site}: {str(error).partition(':')[0]}") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.site}: {str(error) or type(error).__name__}") from None

    async def _refusal(self, response: httpx.Response) -> Exception:
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _MAX_PROBLEM_BYTES:
                break
        status = response.status_code
        text = body[:400].decode("utf-8", "replace").strip()
        shown = "".join(each if each.isprintable() else " " for each in text)  # it goes to a terminal
        said = f"{self.site} answered {status}: {shown}"
        if response.is_redirect:
            where = response.headers.get("location")
            if status in (httpx.codes.MOVED_PERMANENTLY, httpx.codes.PERMANENT_REDIRECT):
                return UpstreamError(f"{self.site} has moved to {where}: mirror that address")
            return Unavailable(f"{self.site} redirects to {where}; if it keeps doing so, mirror that address")
        if status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT) or response.is_server_error:
            return Unavailable(said, _retry_after(response))
        return Refused(said)


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of Retry-After, of either form; None where it has none that can be read."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:6])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    now = response.headers.get("Date")
    try:
        return max(0.0, (at - parsedate_to_datetime(now)).total_seconds()) if now else None
    except (TypeError, ValueError):
        return None
