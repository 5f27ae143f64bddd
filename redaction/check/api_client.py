"""Reads history as clients get it: through a service's HTTP API, by SSE.

It works with this service and with the one that it replaces, local or remote, and logs nothing of what it reads.

Source: wire contract, "The two formats", "When something is wrong after the client has committed to SSE".
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Callable, Sequence
from typing import NoReturn
from urllib.parse import quote, urlsplit

import httpx

from streams.core.sse_parser import Message, SseParser

CONNECT_SECONDS = 10.0
"""Maximum seconds until a connection is made."""
HEADERS_SECONDS = 30.0
"""Maximum seconds until an answer begins."""
RECONNECT_SECONDS = 1.0
"""Seconds between the end of a stream and the request that resumes it."""
ATTEMPTS = 5
"""Maximum reconnections in a row that bring no event."""

_DETAIL_CHARACTERS = 400
"""Maximum characters of a service's answer that an error quotes."""

# httpx logs each request's URL at INFO, which is noise in a server's log.
logging.getLogger("httpx").setLevel(logging.WARNING)


class CheckError(Exception):
    """The check could not be made, for instance because the service does not answer; the text is for people."""


class _BrokenOffError(Exception):
    """The stream ended and can be resumed; the text is the reason that the service gave."""


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine; DNS is not asked."""
    host = host.strip("[]").casefold()
    if host in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HistoryReader:
    """Reads the events of `streams` from a time on (ms since the epoch): first history, then live events.

    It resumes a stream that ends by the last id, as browsers do, so it misses no event.
    """

    def __init__(self, url: str, streams: Sequence[str], since_ms: int) -> None:
        self._url = f"{url.rstrip('/')}/v2/stream/{','.join(quote(name, safe='') for name in streams)}"
        self._since = f"?since={since_ms}"
        self._site = url.rstrip("/")
        self._last_id = ""
        self._is_local = is_loopback(urlsplit(url).hostname or "")

    async def ask(self) -> None:
        """Find out whether the service would serve them. Raises CheckError if not."""
        async with self._client() as client:
            try:
                response = await self._get(client)
                await response.aclose()
            except httpx.HTTPError as error:
                raise CheckError(f"{self._site} cannot be reached: {_said(error)}") from None

    async def read(self, on_event: Callable[[bytes], bool], idle_seconds: float) -> None:
        """Give each event's data to `on_event`, which returns whether it was one of those that are awaited.

        Return when no awaited event has come for `idle_seconds`. Raises CheckError, and what `on_event` raises.
        """
        fruitless = 0

        def counted(data: bytes) -> bool:
            nonlocal fruitless
            fruitless = 0
            return on_event(data)

        async with self._client() as client:
            while True:
                try:
                    async with asyncio.timeout(None) as patience:
                        await self._once(client, counted, patience, idle_seconds)
                except TimeoutError:
                    return
                except httpx.HTTPError as error:
                    why = f"{self._site} closed the connection: {_said(error)}"
                except _BrokenOffError as broken:
                    why = f"{self._site} ended the stream: {broken}"
                fruitless += 1
                if fruitless > ATTEMPTS:
                    raise CheckError(why)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _once(
        self, client: httpx.AsyncClient, on_event: Callable[[bytes], bool], patience: asyncio.Timeout, idle: float
    ) -> NoReturn:
        """Read one response. Raises _BrokenOffError when it ends."""
        loop = asyncio.get_running_loop()
        response = await self._get(client)
        parser = SseParser()
        try:
            patience.reschedule(loop.time() + idle)
            async for chunk in response.aiter_raw():
                for message in parser.feed(chunk):
                    if not isinstance(message, Message):
                        continue
                    if message.kind == "error":
                        raise _BrokenOffError(_detail(message.data))
                    if on_event(message.data):
                        patience.reschedule(loop.time() + idle)
                    self._last_id = message.id or self._last_id
                await asyncio.sleep(0)  # a server that checks itself has others to serve
        finally:
            await response.aclose()
        raise _BrokenOffError("no reason given")

    def _client(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        # The environment's proxies are not for a server on this machine.
        return httpx.AsyncClient(timeout=timeout, trust_env=not self._is_local)

    async def _get(self, client: httpx.AsyncClient) -> httpx.Response:
        """Return an answer that has begun with status 200. Raises CheckError, httpx.HTTPError."""
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        url = self._url + ("" if self._last_id else self._since)
        try:
            async with asyncio.timeout(HEADERS_SECONDS):
                response = await client.send(client.build_request("GET", url, headers=headers), stream=True)
        except TimeoutError:
            raise CheckError(f"{self._site} did not answer within {HEADERS_SECONDS:.0f} seconds") from None
        except httpx.InvalidURL as error:
            raise CheckError(f"{self._site} is not an address: {error}") from None
        if response.status_code != httpx.codes.OK:
            try:
                raise await self._refusal(response)
            finally:
                await response.aclose()
        return response

    async def _refusal(self, response: httpx.Response) -> CheckError:
        status = response.status_code
        if response.is_redirect:
            return CheckError(f"{self._site} redirects to {response.headers.get('location')}; use that address")
        body = b""
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > 1 << 16:
                break
        said = f"{self._site} answered {status}: {_detail(body)}"
        if status == httpx.codes.TOO_MANY_REQUESTS:
            said += ". A test needs one connection: close another one from this address, then test again"
        return CheckError(said)


def _detail(body: bytes) -> str:
    """Return the sentence in a problem+json answer, or in one of the old service."""
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return "no readable reason"
    detail = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    return str(detail or "no reason given").rstrip(".")[:_DETAIL_CHARACTERS]


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
