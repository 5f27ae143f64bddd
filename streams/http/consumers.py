"""The streaming edge: one StreamConsumer per request for streams.

It races sending against the client's disconnect (Channels does not read `http.disconnect` while a handler runs), and
lets nothing escape once the response has begun (Daphne's reaper would end for the life of the process).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from channels.generic.http import AsyncHttpConsumer

from streams.catalogue.affected import affected_streams
from streams.core import formats
from streams.core.catalogue import Catalogue, Stream
from streams.core.errors import (
    Draining,
    EventStreamsError,
    InternalError,
    KafkaUnavailable,
    NoRedactionList,
    StreamWithdrawn,
)
from streams.core.filters import NO_FILTER
from streams.core.plan import Plan, Start
from streams.core.positions import Gap, Mark, TopicPartition
from streams.engine.compress.body import Body
from streams.engine.faults import without_text
from streams.engine.resume import preview, resolve
from streams.engine.subscription import Subscription
from streams.engine.tail.chunk import Chunk
from streams.engine.tail.feed import Feed, Selection
from streams.engine.tail.partition import seconds_behind
from streams.engine.terms.terms import Terms
from streams.http.client_address import client_ip
from streams.http.headers import encoding_header, stream_headers, told_headers, vary
from streams.http.messages import send_message, watch_for_leave
from streams.http.opening import planned_start, requested_streams
from streams.http.problems import may_be_told_by_event, problem_headers
from streams.http.requests import FLOW_EXTENSION, StreamRequest
from streams.http.service import SCOPE_KEY, ClientGone, Progress, Service
from streams.http.stream_log import LoggedStream
from streams.http.terms import NothingLeftError, check_is_something_left, terms_of

log = logging.getLogger(__name__)

HOLD_SECONDS = 1.0
"""Seconds for which a client that gets an error as an event is held: some ignore `retry`."""
KAFKA_SECONDS = 2.8
"""Maximum seconds of all requests to Kafka before the answer begins (wire contract: answered within 3 seconds)."""
WITHDRAW_SECONDS = 2.0
"""Seconds after which the connection of a withdrawn stream is closed, if the client has not read its end."""
PARK_SECONDS = 0.25
"""Seconds without room in the socket after which a client releases the blocks that it holds in memory."""


class StreamConsumer(AsyncHttpConsumer):
    """Answers GET and HEAD /v2/stream/{streams}."""

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """Answer one request, until the client disconnects.

        Channels' own dispatch would start more tasks, and go to a thread to close connections to the database, which
        no stream has.
        """
        self.scope = scope
        self.base_send = functools.partial(send_message, send)
        self._service: Service = scope[SCOPE_KEY]
        self._flow = scope.get("extensions", {}).get(FLOW_EXTENSION)
        self._task = asyncio.current_task()
        self._streams: list[Stream] = []
        self._taken: list[Callable[[], None]] = []
        """Callbacks that release what the stream has taken; an exit stack for each client would cost a kilobyte."""
        self._withdrawn: StreamWithdrawn | None = None
        self._since: int | None = None
        """The time in `since` (ms), if it decides where the stream starts."""
        self._filter = NO_FILTER
        self._body: Body | None = None  # if it is compressed
        self._open_stream: tuple[LoggedStream, Subscription] | None = None
        self._ip = ""
        self._end_reason = "client"
        self._writing = self._ending = self._is_turned_away = self._is_old = self._has_left = False
        end_watch = await watch_for_leave(self._flow, receive, self._leave)
        try:
            await self._answer(StreamRequest.from_scope(scope))
        except asyncio.CancelledError:
            if not self._has_left:
                raise
        finally:
            end_watch()

    def _leave(self) -> None:
        """Cancel the answer: the client has disconnected."""
        self._has_left = True
        if self._task is not None:
            self._task.cancel()

    @property
    def stream_names(self) -> Collection[str]:
        """The canonical names of the streams that the client reads."""
        return [stream.name for stream in self._streams]

    @property
    def taken(self) -> int | None:
        """Return the bytes that the client has taken while more wait; None if none wait, or if nobody knows."""
        return self._flow.taken if self._flow is not None else None

    def give_place_back(self) -> None:
        """Close the connection: the client has stalled, and others need its place."""
        self._end_reason = "stalled"
        self._cut()

    def progress(self, now: float) -> Progress:
        """Return how far the client is."""
        assert self._open_stream is not None  # it is among the clients
        opened, subscription = self._open_stream
        flow, service = self._flow, self._service
        return Progress(
            opened,
            service.stream_log.network(opened.address),
            0.0 if subscription.is_live else seconds_behind(service.hub.partitions, subscription.position),
            now - flow.paused_at if flow is not None and flow.paused else 0.0,
            now - opened.began,
        )

    def end(self) -> None:
        """End the stream with its final chunk, after the write that is under way."""
        self._ending = True
        if self._task is not None and not self._writing and self._task is not asyncio.current_task():
            self._task.cancel()

    def _end_after(self, seconds: float) -> None:
        """End the stream after this time, or somewhat earlier: clients that came together do not leave together."""

        def end() -> None:
            self._is_old = True
            self.end()

        if seconds:
            timer = asyncio.get_running_loop().call_later(seconds * random.uniform(0.9, 1), end)
            self._taken.append(timer.cancel)

    def recheck(self, catalogue: Catalogue) -> None:
        """End the stream if `catalogue` no longer exposes one of its streams, or gives it other topics."""
        affected = affected_streams(self._streams, catalogue)
        if affected.withdrawn:
            self._withdrawn = StreamWithdrawn(affected.withdrawn)
            asyncio.get_running_loop().call_later(WITHDRAW_SECONDS, self._cut)
        if affected.names:
            self.end()

    def _cut(self) -> None:
        if self._flow is not None and not self._flow.is_over:
            self._flow.abort()

    async def _answer(self, request: StreamRequest) -> None:
        try:
            try:
                subscription, gaps = await self._opened(request)
            except EventStreamsError as error:
                await self._refuse(request, error)
            except NothingLeftError:
                self._service.metrics.ends.labels("nothing_left").inc()
                await self.send_response(204, b"", headers=[(b"Cache-Control", b"no-cache"), *vary(request)])
            except (Exception, asyncio.CancelledError) as error:
                if not self._is_ours(error):
                    raise
                log.error("A request for %s failed", request.path[:200], exc_info=without_text(error))
                await self._refuse(request, InternalError())
            else:
                await self._stream(request, subscription, gaps)
        except ClientGone:
            pass
        finally:
            for give_back in reversed(self._taken):
                give_back()

    async def _opened(self, request: StreamRequest) -> tuple[Subscription | None, list[Gap]]:
        """Open the stream; raise Draining if the client is turned away meanwhile."""
        self._service.connecting.add(self)
        try:
            return await self._open(request)
        except asyncio.CancelledError:
            if self._task is None or not self._is_turned_away or self._task.uncancel():
                raise
            raise Draining from None
        finally:
            self._service.connecting.discard(self)

    def turn_away(self) -> None:
        """Stop connecting the client: it gets the error `draining`."""
        if self._task is not None:
            self._is_turned_away = True
            self._task.cancel()

    def _is_ours(self, error: BaseException) -> bool:
        """Whether this is a fault of the server, which the client gets as an error.

        A cancellation can come from what was awaited, rather than from our own task.
        """
        if isinstance(error, asyncio.CancelledError):
            return self._task is not None and not self._task.cancelling()
        return not isinstance(error, ClientGone)

    async def _open(self, request: StreamRequest) -> tuple[Subscription | None, list[Gap]]:
        """Return a subscription from the position that the request asks for, and the gaps before it.

        HEAD gets None: it counts as no client, and no topic is read for it.

        Raises:
            EventStreamsError: One of the contract's errors.
        """
        service = self._service
        self._streams = await requested_streams(request, service)
        since, last_event_id, self._filter = request.since(), request.last_event_id(), request.filter()
        request.until(), request.limit(), request.checkpoint(), request.coding()  # raise what is wrong with them
        await self._admit(request)
        try:
            async with asyncio.timeout(KAFKA_SECONDS):
                listed = last_event_id.entries if last_event_id else ()
                needed = [TopicPartition(entry.topic, entry.partition or 0) for entry in listed]
                planned = await planned_start(self._streams, since, last_event_id, needed, service.hub)
                if since is not None and Start(timestamp=since) in planned.starts.values():
                    self._since = since
                if request.method == "HEAD":
                    position, gaps = await preview(service.hub, planned.starts)
                    await check_is_something_left(request, service, planned.starts, position)
                    return None, [*planned.gaps, *gaps]
                feed = await self._joined(planned, needed)
                position, gaps = await resolve(service.hub, planned.starts, needed)
                terms = await terms_of(request, service, feed, position)
        except TimeoutError:
            raise KafkaUnavailable from None
        if service.draining:
            raise Draining
        return self._subscription(request, feed, position, terms), [*planned.gaps, *gaps]

    async def _admit(self, request: StreamRequest) -> None:
        """Count the client against the limits, unless streams cannot be served now."""
        service = self._service
        if service.draining:
            raise Draining
        if request.method != "HEAD":
            ip = client_ip(self.scope, service.settings.client_ip_header, service.settings.trusted_proxies)
            self._ip = ip
            self._taken.append(await service.limits.admit(ip))
        if not service.has_redaction_list:
            raise NoRedactionList
        if not service.hub.available:
            raise KafkaUnavailable

    async def _joined(self, planned: Plan, needed: Collection[TopicPartition]) -> Feed:
        hub = self._service.hub
        others = frozenset(tp for tp in planned.starts if tp.topic not in planned.topics)
        feed = await hub.join(Selection(planned.topics, others, planned.scope, self._filter), needed)
        self._taken.append(functools.partial(hub.leave, feed))
        return feed

    def _subscription(
        self, request: StreamRequest, feed: Feed, position: dict[TopicPartition, Mark], terms: Terms | None
    ) -> Subscription:
        service = self._service
        names = [stream.name for stream in self._streams]
        service.metrics.connected(names)
        self._taken.append(functools.partial(service.metrics.disconnected, names))
        if (coding := request.coding()) is not None:
            body = self._body = service.compression.body(coding, feed, self._flow, is_sse=request.format.is_sse)
            self._taken.append(functools.partial(service.compression.give_back, body))
        opened = LoggedStream(names, self._filter, self._ip, self._flow)
        self._taken.append(functools.partial(self._log_end, opened))
        subscription = Subscription(
            service.hub,
            service.history,
            feed,
            position,
            is_sse=request.format.is_sse,
            keepalive_seconds=service.settings.keepalive_seconds,
            metrics=service.metrics,
            sink=self._body if self._body is not None and self._flow is not None else self._flow,
            terms=terms,
        )
        subscription.sent = service.metrics.sent(names, is_sse=request.format.is_sse)
        self._open_stream = opened, subscription
        return subscription

    def _log_end(self, stream: LoggedStream) -> None:
        ended = "max_connection_seconds" if self._is_old else "draining" if self._service.draining else "configuration"
        if self._end_reason == "client" and self._service.stalls.was_cut(self):
            self._end_reason = "stalled"
        reason = "withdrawn" if self._withdrawn is not None else ended if self._ending else self._end_reason
        self._service.metrics.connection_ends.labels(reason).inc()
        self._service.stream_log.ended(stream, reason)

    async def _stream(self, request: StreamRequest, subscription: Subscription | None, gaps: list[Gap]) -> None:
        service = self._service
        is_sse = request.format.is_sse
        told = told_headers(self._since, gaps, self._filter)
        await self.send_headers(headers=[*stream_headers(request), *encoding_header(request), *told])
        if subscription is None:
            await self.send_body(b"")
            return
        if self._flow is not None:
            self.scope["headers"] = ()  # they have been read
        service.metrics.gaps.inc(len(gaps))
        service.clients.add(self)
        try:
            start = formats.sse_start(gaps, self._filter.text) if is_sse else formats.NDJSON_START
            await self.send_body(start if self._body is None else self._body.begin(start), more_body=True)
            if service.catalogue is not None:
                self.recheck(service.catalogue)  # it may have changed while this client was being connected
            if service.draining or (self._flow is not None and not self._flow.stay_open()):
                self.end()
            self._end_after(service.settings.max_connection_seconds)
            if not self._ending:
                await self._pump(subscription)
                self._end_reason = "end"
        except (Exception, asyncio.CancelledError) as error:
            if self._is_ours(error):
                self._end_reason = "fault"
                log.error("A stream of %s failed", request.path[:200], exc_info=without_text(error))
                await self._tell(request, InternalError())
            elif not self._ending or isinstance(error, ClientGone):
                raise
        finally:
            service.clients.discard(self)
        if self._withdrawn is not None:
            await self._tell(request, self._withdrawn)
        elif self._ending and is_sse and (service.draining or self._is_old):
            await self._write(Chunk((formats.sse_retry(service.soft_retry_ms()),), 0))
        await self.send_body(b"" if self._body is None else self._body.end())

    async def _pump(self, subscription: Subscription) -> None:
        sent = subscription.sent
        sink = self._flow if self._body is None else self._body
        async with contextlib.aclosing(subscription.chunks()) as chunks:
            async for chunk in chunks:
                if sink is None or not sink.try_write(chunk):
                    # A large one leaves in slices: a slow client must not hold a reader slot until the last one.
                    parking = asyncio.get_running_loop().call_later(PARK_SECONDS, subscription.park)
                    await self._write(chunk)
                    parking.cancel()
                sent[0] += chunk.events
                sent[1] += chunk.nbytes
                if self._ending:
                    return
                if self._flow is not None and self._flow.paused:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(PARK_SECONDS):
                            await self._flow.resumed()
                    if self._flow.paused:
                        subscription.park()
                        with self._service.metrics.stall():
                            await self._flow.resumed()

    async def _write(self, chunk: Chunk) -> None:
        """Write one HTTP chunk of whole events; draining does not interrupt it."""
        self._writing = True
        try:
            parts = chunk.parts if self._body is None else self._body.written(chunk).parts
            if self._flow is not None:
                await self._flow.write(parts, chunk.events)
            else:
                await self.send_body(b"".join(parts), more_body=True)
        finally:
            self._writing = False

    async def _refuse(self, request: StreamRequest, error: EventStreamsError) -> None:
        """Answer with an error before any stream was opened."""
        self._service.metrics.errors.labels(error.type).inc()
        problem = error.problem(request.method, request.uri)
        if may_be_told_by_event(error, request):
            await self.send_headers(headers=stream_headers(request))
            retry = formats.sse_error(problem, self._service.soft_retry_ms())
            await self.send_body(formats.SSE_START + retry, more_body=True)
            with contextlib.suppress(asyncio.CancelledError):  # the client has disconnected, or the server stops
                await asyncio.sleep(0 if self._service.is_crowded() else HOLD_SECONDS)
            await self.send_body(b"")
            return
        body = json.dumps(problem).encode()
        headers = problem_headers(error, len(body), vary(request))
        await self.send_response(error.status, b"" if request.method == "HEAD" else body, headers=headers)

    async def _tell(self, request: StreamRequest, error: EventStreamsError) -> None:
        """Report an error after the response has begun: as an event in SSE; NDJSON just ends."""
        self._service.metrics.errors.labels(error.type).inc()
        if request.format.is_sse:
            await self._write(Chunk((formats.sse_error(error.problem(request.method, request.uri)),), 0))
