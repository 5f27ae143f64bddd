"""A worker's part of the status page: it asks the supervisor, which knows all workers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from eventstreams_site.server.control import Message
from eventstreams_site.status.own import OwnStatus
from eventstreams_site.status.whole import whole
from streams.http.service import Service

ANSWER_SECONDS = 4.0
"""Maximum seconds for the supervisor's answer; without one, the status is that of this worker alone."""
NO_ANSWER = "The supervisor does not answer: this is the status of one worker only."


class FleetStatus:
    """Returns the status of all workers. Use it in an event loop."""

    def __init__(self, service: Service, own: OwnStatus, send: Callable[[Message], None]) -> None:
        self._service = service
        self._own = own
        self._send = send
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Message]] = {}

    async def status(self) -> Mapping[str, Any]:
        """Return the status of all workers, or of this one with a note that it is no more."""
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"type": "status", "number": number})
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await answer
        except TimeoutError:
            return self._own.alone(NO_ANSWER)
        finally:
            del self._asked[number]
        silent = [str(each["worker"]) for each in found["workers"] if each["report"] is None]
        workers = f"Worker {silent[0]} has" if len(silent) == 1 else f"Workers {', '.join(silent)} have"
        note = f"{workers} not answered: the numbers below are those of the others." if silent else ""
        return whole(found["workers"], found["hour"], (found["unready"], found["degraded"]), note)

    def receive(self, message: Message) -> None:
        """Take the supervisor's answer, or its word on what is wrong with the service."""
        if message["type"] == "trouble":
            self._service.told = message["unready"], message["degraded"]
            return
        answer = self._asked.get(message["number"])
        if answer is not None and not answer.done():
            answer.set_result(message)
