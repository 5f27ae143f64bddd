"""An end and checkpoints: what a request says of them becomes the terms of its subscription.

Source: wire contract, "Choosing events".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

from streams.core.positions import Position, TopicPartition
from streams.engine.tail.feed import Feed
from streams.engine.terms.checkpoints import Checkpoints
from streams.engine.terms.end import End, is_nothing_left, now_ms
from streams.engine.terms.terms import Terms
from streams.http.requests import StreamRequest
from streams.http.service import Service

LOOK_UP_SECONDS = 1.0
"""Maximum seconds for which the answer waits until Kafka says where `until` is; else it is asked while streaming."""


class NothingLeftError(Exception):
    """The client's id is at or beyond `until` in every partition: the answer is 204, on which EventSource stops."""


async def terms_of(request: StreamRequest, service: Service, feed: Feed, position: Position) -> Terms | None:
    """Return the terms of a client that reads a feed from `position` on, if it asks for any.

    Raises:
        NothingLeftError: Its id is at its end already.
    """
    end = await _end(request, service, feed, position)
    seconds = request.checkpoint()
    if end is None and seconds is None:
        return None
    look_seconds = service.hub.tuning.checkpoint_look_seconds
    checkpoints = Checkpoints(seconds, position, look_seconds) if seconds is not None else None
    return Terms(service.hub, feed, end, checkpoints, is_sse=request.format.is_sse, metrics=service.metrics)


async def _end(request: StreamRequest, service: Service, feed: Feed, position: Position) -> End | None:
    until, limit = request.until(), request.limit()
    end = End(service.hub, until, limit)
    if until is None:
        return end if limit is not None else None
    if until <= now_ms() and request.since() is None and not request.has_id:
        end.stop_at(position)
        return end
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_UP_SECONDS):
            await end.look_up(end.unknown(feed.vector))
    if request.has_id and end.is_past(position, feed.vector):
        raise NothingLeftError
    return end


async def check_is_something_left(
    request: StreamRequest, service: Service, partitions: Collection[TopicPartition], position: Position
) -> None:
    """Raise NothingLeftError for a client that asks for the headers alone, where it would be raised for a stream."""
    until = request.until()
    if until is None or not request.has_id:
        return
    if await is_nothing_left(service.hub.lookups, partitions, position, until):
        raise NothingLeftError
