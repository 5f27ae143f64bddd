"""History as clients get it: a service's own HTTP API, read over a socket like anybody's, by SSE.

Works against this service and against the one that it replaces, local or far away. Nothing that is read is logged.

Source: wire contract, "The two formats", "When something is wrong after the client has committed to SSE".
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlsplit

import httpx

CONNECT_SECONDS = 10.0
HEADERS_SECONDS = 30.0
"""Seconds after which an answer that has not begun never will."""
RECONNECT_SECONDS = 1.0
ATTEMPTS = 5
"""Times in a row that a stream may break off without an event before the check fails."""

_DETAIL_CHARACTERS = 400

# It writes each request's URL at INFO: of no use to the person who runs a check, and noise in a server's log.
logging.getLogger("httpx").setLevel(logging.WARNING)


class CheckError(Exception):
    """The check could not be made, as when the service does not answer; the text is a sentence for people."""


class _BrokenOff(Exception):
    """The stream ended; it can be resumed. `why` says what the server said of it, if it did."""


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine, without asking anybody."""
    host = host.strip("[]").casefold()
    if host in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HistoryReader:
    """The events of `streams` since a time (ms since the epoch), and then live ones, until they are no longer wanted.

    A stream that breaks off is resumed by the last id, as browsers do, so no event is missed.
    """

    def __init__(self, url: str, streams: Sequence[str], since_ms: int) -> None:
        self._url = f"{url.rstrip('/')}/v2/stream/{','.join(quote(name, safe='') for name in streams)}"
        self._since = f"?since={since_ms}"
        self._site = url.rstrip("/")
        self._last_id = ""
        self._is_local = is_loopback(urlsplit(url).hostname or "")

    async def ask(self) -> None:
        """Whether the service would give them. Raises CheckError."""
        async with self._client() as client:
            try:
                response = await self._get(client)
                await response.aclose()
            except httpx.HTTPError as error:
                raise CheckError(f"{self._site} cannot be reached: {_said(error)}") from None

    async def read(self, on_event: Callable[[bytes], bool], idle_seconds: float) -> None:
        """Give each event's data to `on_event`, which says whether it was one of those still waited for.

        Ends when none of those has come for `idle_seconds`, or by `on_event` raising. Raises CheckError.
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
                except _BrokenOff as broken:
                    why = f"{self._site} ended the stream: {broken}"
                fruitless += 1
                if fruitless > ATTEMPTS:
                    raise CheckError(why)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _once(
        self, client: httpx.AsyncClient, on_event: Callable[[bytes], bool], patience: asyncio.Timeout, idle: float
    ) -> None:
        loop = asyncio.get_running_loop()
        response = await self._get(client)
        try:
            patience.reschedule(loop.time() + idle)
            kind = identifier = ""
            data: list[bytes] = []
            unfinished: list[bytes] = []
            async for chunk in response.aiter_raw():
                if b"\n" not in chunk:
                    unfinished.append(chunk)
                    continue
                *lines, rest = b"".join((*unfinished, chunk)).split(b"\n")
                unfinished = [rest]
                for line in lines:
                    name, _, value = line.rstrip(b"\r").partition(b":")
                    value = value.removeprefix(b" ")
                    if name == b"data":
                        data.append(value)
                    elif name == b"event":
                        kind = value.decode("latin-1")
                    elif name == b"id":
                        identifier = value.decode("latin-1")
                    elif not line.strip() and (data or kind):
                        if kind == "error":
                            raise _BrokenOff(_detail(b"\n".join(data)))
                        if data and on_event(b"\n".join(data)):
                            patience.reschedule(loop.time() + idle)
                        self._last_id = identifier or self._last_id
                        kind, data = "", []
                await asyncio.sleep(0)  # a server that checks itself has others to serve
        finally:
            await response.aclose()
        raise _BrokenOff("no reason given")

    def _client(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        # What the environment says of proxies does not concern a server on this machine.
        return httpx.AsyncClient(timeout=timeout, trust_env=not self._is_local)

    async def _get(self, client: httpx.AsyncClient) -> httpx.Response:
        """An answer that has begun with 200. Raises CheckError, httpx.HTTPError."""
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        url = self._url + ("" if self._last_id else self._since)
        try:
            async with asyncio.timeout(HEADERS_SECONDS):
                response = await client.send(client.build_request("GET", url, headers=headers), stream=True)
        except TimeoutError:
            raise CheckError(f"{self._site} did not begin to answer within {HEADERS_SECONDS:.0f} s") from None
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
            said += ". A check is one more connection of its address: try again when another one has ended"
        return CheckError(said)


def _detail(body: bytes) -> str:
    """The sentence in a problem+json (or the old service's) answer."""
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return "no reason that could be read"
    detail = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    return str(detail or "no reason").rstrip(".")[:_DETAIL_CHARACTERS]


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
