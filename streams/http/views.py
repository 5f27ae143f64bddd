"""Small answers, made on the event loop from what is in memory.

Source: wire contract, "Routes".
"""

from __future__ import annotations

import time

from streams.http.about import DESCRIPTION, HOME, NAME, VERSION
from streams.http.answers import TEXT, Answer, answer, json_answer, redirect
from streams.http.requests import Scope
from streams.http.service import Service

DOCUMENTATION = "/?doc"
DEMO_PAGE = "/v2/ui"

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METRICS_SHARE, METRICS_SECONDS = 0.1, 0.025
"""How much of the time making the text of the metrics may take, and how many seconds of CPU time in a row; more
requests get the last text. Of hundreds of streams one takes 6 ms, for which all else waits."""

_INFO = {"name": NAME, "version": VERSION, "description": DESCRIPTION, "home": HOME}


async def robots(_scope: Scope, _service: Service) -> Answer:
    """Return `/robots.txt`: robots keep out."""
    return answer(b"User-agent: *\nDisallow: /\n", TEXT, cache="max-age=3600")


async def rc(_scope: Scope, service: Service) -> Answer:
    """Redirect to the documentation, as the old service does."""
    return redirect(301, service.settings.url_prefix + DOCUMENTATION)


async def info(scope: Scope, _service: Service) -> Answer:
    """Return name, version, description and home, or the one that the path names."""
    name = scope["path"].removeprefix("/_info").strip("/")
    if name == "home":
        return redirect(301, HOME)
    return json_answer({name: _INFO[name]} if name else _INFO)


async def healthz(_scope: Scope, _service: Service) -> Answer:
    """Return that the process lives: its event loop runs."""
    return json_answer({"status": "ok"})


async def readyz(_scope: Scope, service: Service) -> Answer:
    """Return whether the process is ready; later outages make it `degraded`, so that it keeps its clients."""
    reasons = service.unready()
    if reasons:
        return json_answer({"status": "unready", "reasons": reasons}, status=503)
    degraded = service.degraded()
    return json_answer({"status": "degraded", "degraded": degraded} if degraded else {"status": "ready"})


class MetricsText:
    """`/metrics`, which takes milliseconds to make: at most METRICS_SHARE of the time (a token bucket).

    A text that was made for an earlier request says so with its age (RFC 9111 section 5.1).
    """

    def __init__(self) -> None:
        self._text = b""
        self._made_at = 0.0
        self._left = METRICS_SECONDS
        """Seconds that making it may take from now on."""
        self._asked_at = time.monotonic()

    async def __call__(self, _scope: Scope, service: Service) -> Answer:
        """Return the text."""
        now = time.monotonic()
        self._left = min(METRICS_SECONDS, self._left + (now - self._asked_at) * METRICS_SHARE)
        self._asked_at = now
        if self._left <= 0:
            return answer(self._text, METRICS_TYPE, ("Age", str(int(now - self._made_at))))
        began = time.thread_time()
        self._text = service.metrics.text()
        self._made_at = now
        self._left -= time.thread_time() - began
        return answer(self._text, METRICS_TYPE)
