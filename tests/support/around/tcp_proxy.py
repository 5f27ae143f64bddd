"""A TCP proxy in between that delays, swallows or refuses: what a network does to a connection."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from streams.local.processes import HOST, free_port
from tests.support.engine import cancel


class TcpProxy:
    """Passes connections from `port` on to `upstream` (a port of this host).

    `delay` is the time in seconds that each piece of data takes, in each direction. With `swallows`, connections stay
    open and nothing passes; with `refuses`, new connections are reset. All may be changed at any time.
    """

    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        self.delay = 0.0
        self.swallows = False
        self.refuses = False
        self.accepted = 0
        self._upstream = upstream
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dropped = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def drop(self) -> None:
        """Swallow for good what the connections of now carry; they stay open."""
        self._dropped = self.accepted

    def cut(self) -> None:
        """Reset the connections of now."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def serve(self, started: threading.Event) -> None:
        """Pass connections on until the task is cancelled."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._accept, HOST, self.port)
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            try:
                await cancel(*self._tasks)
            finally:
                self._abort()
            await asyncio.sleep(0.05)  # the transports close

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.accepted += 1
        number = self.accepted
        if self.refuses:
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection(HOST, self._upstream)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(to_writer)
        for source, sink in ((reader, to_writer), (to_reader, writer)):
            task = asyncio.ensure_future(self._pass(source, sink, number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, number: int) -> None:
        """One direction: pieces leave in order, each `delay` after it came."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                due, data = await pieces.get()
                await asyncio.sleep(due - loop.time())
                while self.swallows or number <= self._dropped:
                    await asyncio.sleep(0.02)
                if not data:
                    sink.close()  # what was written still leaves
                    await sink.wait_closed()
                    return
                sink.write(data)
                await sink.drain()

        sender = asyncio.ensure_future(send())
        try:
            while True:
                with contextlib.suppress(ConnectionError):
                    data = await source.read(65536)
                    pieces.put_nowait((loop.time() + self.delay, data))
                    if data:
                        continue
                pieces.put_nowait((loop.time(), b""))
                break
            with contextlib.suppress(ConnectionError):
                await sender
        finally:
            sender.cancel()
            sink.transport.abort()


@contextmanager
def tcp_proxy(upstream: int) -> Iterator[TcpProxy]:
    """A proxy in its own thread, for the time of a block."""
    proxy = TcpProxy(upstream)
    started = threading.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    task = loop.create_task(proxy.serve(started))
    thread = threading.Thread(target=run, name="tcp-proxy")
    thread.start()
    try:
        assert started.wait(10)
        yield proxy
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
