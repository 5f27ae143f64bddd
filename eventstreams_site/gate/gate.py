"""Stands before Django and refuses requests that are too large or too many, and logins that are only guesses.

A refused request uses neither a thread nor the database. Public routes do not come this way at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.conf import settings

from eventstreams_site.gate.address_throttle import FAILURES, LoginThrottle
from eventstreams_site.gate.lanes import Lanes
from streams.core.errors import AdminOverloaded, ContentTooLarge, EventStreamsError, TooManyLogins
from streams.http.answers import HTML, Answer, answer, problem, send_answer, wants_page
from streams.http.client_address import client_ip
from streams.http.headers import ASGIApp
from streams.http.made import Made, in_thread
from streams.http.prefix import page
from streams.http.service import SCOPE_KEY, ClientGone, Service

log = logging.getLogger(__name__)

LOGIN = "/admin/login/"
STRANGERS_BODY_BYTES = 64 * 1024
"""Bytes of a body without a session: the login's form is far smaller."""
BODIES_BYTES = 32 * 1024 * 1024
"""Bytes of the bodies of all requests that run or wait."""


class Gate:
    """An ASGI application around Django's, which it protects."""

    def __init__(self, django: ASGIApp) -> None:
        self._django = django
        self._lanes = Lanes()
        self._throttle = LoginThrottle()
        self._bodies = 0
        self._page: Made[str] = Made()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request: pass it to Django, or refuse it."""
        service: Service = scope[SCOPE_KEY]
        messages = await _request(receive)
        if messages is None:
            return
        size = sum(len(message.get("body", b"")) for message in messages)
        self._bodies += size
        try:
            await self._admit(scope, receive, send, messages, size)
        except EventStreamsError as error:
            service.metrics.admin_refused.labels(error.type).inc()
            await send_answer(scope, send, await self._refusal(scope, error))
        finally:
            self._bodies -= size

    async def _admit(self, scope: Any, receive: Any, send: Any, messages: list[Any], size: int) -> None:
        """Pass a request to Django. Raises TooManyLogins, ContentTooLarge, AdminOverloaded."""
        service: Service = scope[SCOPE_KEY]
        address = client_ip(scope, service.settings.client_ip_header, service.settings.trusted_proxies)
        is_login = scope["method"] == "POST" and scope["path"] == LOGIN
        cookies = (value for name, value in scope["headers"] if name == b"cookie")
        is_stranger = is_login or not says_it_has_session(cookies)
        if is_login and (seconds := self._throttle.seconds_locked(address)):
            log.warning("Refusing logins from %s: %s of them have failed", address, FAILURES)
            raise TooManyLogins(FAILURES, seconds)
        if is_stranger and size > STRANGERS_BODY_BYTES:
            raise ContentTooLarge(STRANGERS_BODY_BYTES)
        if self._bodies > BODIES_BYTES:
            raise AdminOverloaded
        turn = self._lanes.ask(address, is_stranger=is_stranger)
        leaving = asyncio.ensure_future(receive())
        try:
            if is_login:
                self._throttle.begin(address)
            self._count(service)
            await asyncio.wait({turn.begun, leaving}, return_when=asyncio.FIRST_COMPLETED)
            status: int | None = None
            if turn.begun.done():
                self._count(service)
                async with ThreadSensitiveContext(executor=turn.begun.result()):
                    status = await self._run(scope, messages, leaving, send)
            # A client that leaves while its password is compared has used up its try: leaving early gains nothing.
            if is_login and (status not in (200, 429, None) or not turn.begun.done()):
                self._throttle.forgive(address)
        finally:
            leaving.cancel()
            self._lanes.end(turn)
            self._count(service)

    async def _run(self, scope: Any, messages: list[Any], leaving: asyncio.Future[Any], send: Any) -> int | None:
        """Return the status of Django's answer; None if the client leaves before that."""
        left = iter(messages)
        status: int | None = None

        async def receive() -> Any:
            message = next(left, None)
            return message if message is not None else await asyncio.shield(leaving)

        async def send_while_there(message: Mapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            # Django watches for the disconnect itself, and cleans up; an exception would keep it from that.
            with contextlib.suppress(ClientGone):
                await send(message)

        await self._django(scope, receive, send_while_there)
        return status

    async def _refusal(self, scope: Any, error: EventStreamsError) -> Answer:
        """Return a page for a browser, else problem+json."""
        found = problem(scope, error)
        if not wants_page(scope):
            return found
        marks = {"title": "~title~", "detail": "~detail~"}
        prefix = scope[SCOPE_KEY].settings.url_prefix
        kept = await self._page.of(None, in_thread(page, "refused.html", marks, prefix))
        shown = kept.replace("~title~", html.escape(error.title)).replace("~detail~", html.escape(error.detail))
        retry = (each for each in found.headers if each[0] == "Retry-After")
        return answer(shown.encode(), HTML, *retry, status=error.status)

    def _count(self, service: Service) -> None:
        service.metrics.admin_requests.labels("running").set(self._lanes.running)
        service.metrics.admin_requests.labels("waiting").set(self._lanes.waiting)


async def _request(receive: Any) -> list[Any] | None:
    """Return the messages of the request; None if the client has left."""
    messages = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        messages.append(message)
        if not message.get("more_body"):
            return messages


def says_it_has_session(cookies: Iterable[bytes]) -> bool:
    """Return whether there is a cookie of a session. A forged one costs one database query, no more."""
    return any(f"{settings.SESSION_COOKIE_NAME}=".encode() in each for each in cookies)
