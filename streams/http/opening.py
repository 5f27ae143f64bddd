"""From a request to what it reads, and from where: which streams, and a plan for their partitions."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streams.core.catalogue import Stream
from streams.core.errors import MethodNotAllowed, NoStreamConfiguration, StreamNotFound
from streams.core.plan import Plan, plan
from streams.core.positions import LastEventId, TopicPartition
from streams.engine.tail.hub import Hub
from streams.http.requests import StreamRequest
from streams.http.service import Service


async def requested_streams(request: StreamRequest, service: Service) -> list[Stream]:
    """Return the streams that a request names.

    Raises:
        EventStreamsError: The method is not allowed, no stream is known yet, or a name is unknown.
    """
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(request.method)
    await service.starting()
    if service.catalogue is None:
        raise NoStreamConfiguration
    streams, invalid = service.catalogue.resolve(request.stream_names(service.settings.max_streams))
    if invalid:
        raise StreamNotFound(invalid)
    return streams


async def planned_start(
    streams: Iterable[Stream],
    since: int | None,
    last_event_id: LastEventId | None,
    needed: Collection[TopicPartition],
    hub: Hub,
) -> Plan:
    """Return where each partition starts, by what Kafka has of the streams' topics."""
    streams = list(streams)
    wanted = {topic for stream in streams for topic in (*stream.topics, *stream.topics_allowed)}
    kafka = await hub.topics(wanted, needed)
    return plan(streams, since, last_event_id, kafka, hub.unreadable(wanted))
