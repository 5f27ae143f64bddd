"""Small answers that are made at once on the event loop, from what is in memory.

Source: wire contract, "Routes".
"""

from __future__ import annotations

import time
from collections import deque

from streams.http.about import DESCRIPTION, HOME, NAME, VERSION
from streams.http.answers import TEXT, Answer, answer, json_answer, redirect
from streams.http.requests import Scope
from streams.http.service import Service

DOCUMENTATION = "/?doc"
DEMO_PAGE = "/v2/ui"

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METRICS_PER_SECOND = 20
"""Times in a second that the text of the metrics is made; whoever asks more often is given the last one again."""

_INFO = {"name": NAME, "version": VERSION, "description": DESCRIPTION, "home": HOME}


async def robots(scope: Scope, service: Service) -> Answer:
    return answer(b"User-agent: *\nDisallow: /\n", TEXT, cache="max-age=3600")


async def rc(scope: Scope, service: Service) -> Answer:
    return redirect(301, DOCUMENTATION)


async def info(scope: Scope, service: Service) -> Answer:
    """All that the service says of itself, or the one thing that the path names."""
    name = scope["path"].removeprefix("/_info").strip("/")
    if name == "home":
        return redirect(301, HOME)
    return json_answer({name: _INFO[name]} if name else _INFO)


async def healthz(scope: Scope, service: Service) -> Answer:
    """Liveness: the event loop turns."""
    return json_answer({"status": "ok"})


async def readyz(scope: Scope, service: Service) -> Answer:
    """Readiness; an outage after the start is `degraded`, not unready: clients must not be sent away for it."""
    reasons = service.unready()
    if reasons:
        return json_answer({"status": "unready", "reasons": reasons}, status=503)
    degraded = service.degraded()
    return json_answer({"status": "degraded", "degraded": degraded} if degraded else {"status": "ready"})


class MetricsText:
    """`/metrics`, which takes a millisecond or more to make: it is made anew as often as the event loop can afford."""

    def __init__(self) -> None:
        self._text = b""
        self._made: deque[float] = deque(maxlen=METRICS_PER_SECOND)
        """When it was made lately (time.monotonic, seconds)."""

    async def __call__(self, scope: Scope, service: Service) -> Answer:
        now = time.monotonic()
        if len(self._made) < METRICS_PER_SECOND or now - self._made[0] > 1:
            self._made.append(now)
            self._text = service.metrics.text()
        return answer(self._text, METRICS_TYPE)
