"""Rows of compression: what clients with `compress` save and cost, beside clients without it.

The events are the demo's, with what the benchmarks add to theirs: those are all alike and would become far too small.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import statistics
import sys
import time
import urllib.request
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from urllib.parse import urlsplit

from benchmarks.events import Make, produce_history, producing
from benchmarks.goals import Bench, Figures, Goal, Row
from benchmarks.live import KEEPS_UP, TOO_FEW
from benchmarks.rig import STREAM, BenchmarkError
from benchmarks.subjects import ours
from streams.engine.compress.codings import NAMES
from streams.local.demo.streams import RECENTCHANGE
from streams.local.demo.world import DemoWorld

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor
else:
    from backports.zstd import ZstdDecompressor

CLIENTS = 500
RATE = 30.0
FIRST_SECONDS = 6
"""Seconds after which all clients are in a window: one begins every five."""
HISTORY_EVENTS = 20_000
JOINS = 60
PHI = 0.618
"""Its multiples are spread evenly between events and windows."""


def like_recentchange() -> Make:
    """Return what makes values of different recentchange events, as the demo has them."""
    world, waiting = DemoWorld(1), list[bytes]()

    def make(sequence: int, now: float) -> bytes:
        while not waiting:
            waiting.extend(
                record.value for record in world.change(int(now * 1000)) if record.topic.endswith(RECENTCHANGE)
            )
        return waiting.pop(0).rstrip()[:-1] + b',"sent_us":%d,"seq":%d}' % (int(now * 1e6), sequence)

    return make


async def _chunks(url: str) -> AsyncGenerator[bytes, None]:
    """Connect, and yield the HTTP chunks of the body (RFC 9112, 7.1) as they come."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    try:
        writer.write(
            f"GET {target.path}?{target.query} HTTP/1.1\r\nHost: {target.netloc}\r\n"
            f"Accept: text/event-stream\r\nAccept-Encoding: {', '.join(NAMES)}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        while size := int(await reader.readline(), 16):
            yield (await reader.readexactly(size + 2))[:-2]
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def _first_client(url: str) -> AsyncIterator[None]:
    """Have a client that reads all the time, for long enough that what all clients share is there already.

    A common window takes up memory once, and must not count as memory of the clients that come next.
    """

    async def read() -> None:
        async for _ in _chunks(url):
            pass

    reading = asyncio.create_task(read())
    try:
        await asyncio.sleep(FIRST_SECONDS)
        yield
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


async def _first_event(url: str, coding: str) -> float:
    """Return the milliseconds from connecting until the first event can be read, decoded."""
    decode: Callable[[bytes], bytes] = bytes
    if coding:
        decode = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress if coding == "gzip" else _frames()
    began, plain = time.perf_counter(), b""
    async with contextlib.aclosing(_chunks(url)) as chunks:
        async for chunk in chunks:
            plain += decode(chunk)
            if b"\n\n" in plain.partition(b"event: message")[2]:
                return (time.perf_counter() - began) * 1000
    raise BenchmarkError(f"The stream {url} ended before its first event")


def _frames() -> Callable[[bytes], bytes]:
    """Return what decodes zstd frames that come one after the other."""
    decoder = ZstdDecompressor()

    def decode(data: bytes) -> bytes:
        nonlocal decoder
        plain = decoder.decompress(data)
        while decoder.eof:
            rest, decoder = decoder.unused_data, ZstdDecompressor()
            plain += decoder.decompress(rest)
        return plain

    return decode


async def _join(bench: Bench) -> Figures:
    """Connect without compression and with each coding at the same moment, again and again, in another order."""
    codings = ["", *NAMES]
    later: dict[str, list[float]] = {name: [] for name in NAMES}
    async with ours(bench.rig) as subject, producing(subject.send, RATE, like_recentchange()):
        urls = {coding: f"{subject.url}?compress={coding}" for coding in codings}
        async with contextlib.AsyncExitStack() as stack:
            for coding in codings:
                await stack.enter_async_context(_first_client(urls[coding]))
            for number in range(JOINS):
                await asyncio.sleep(number * PHI % 1 / 4)
                order = codings[number % 3 :] + codings[: number % 3]
                took = await asyncio.gather(*[_first_event(urls[coding], coding) for coding in order])
                found = dict(zip(order, took, strict=True))
                for name, each in later.items():
                    each.append(found[name] - found[""])
    return {f"{name} ms later": statistics.median(each) for name, each in later.items()}


async def _follow(bench: Bench, compress: str) -> Figures:
    """Measure clients of a server that is started for them; what they read is not decoded."""
    rig, seconds = bench.rig, 2 * bench.options.seconds
    async with (
        ours(rig) as subject,
        producing(subject.send, RATE, like_recentchange()) as produced,
        _first_client(url := f"{subject.url}?compress={compress}"),
    ):
        report = await rig.load(url, subject.pid, n=CLIENTS, ramp="1ms", warm=f"{FIRST_SECONDS}s", window=f"{seconds}s")
    if "errors" in report:
        raise BenchmarkError(f"Not all of {CLIENTS} clients were served: {report['errors']} {report['statuses']}")
    start, end = (us / 1e6 for us in report["window_us"])
    sent = produced.between(start, end)
    if sent < TOO_FEW * RATE * (end - start):
        raise BenchmarkError(f"The machine is too busy: of {RATE} events/s, {sent / (end - start):.0f} were published")
    if not compress and report["client_events_min"] < KEEPS_UP * sent:
        raise BenchmarkError("Clients without compression did not get all events")
    return {
        "us_per_delivery": report["server_cpu_percent"] / 100 * (end - start) / (sent * CLIENTS) * 1e6,
        "bytes_per_delivery": report["mb_per_s"] * 1e6 * (end - start) / (sent * CLIENTS),
        "kb_per_client": report["rss_kb_per_client"],
    }


async def _live(bench: Bench) -> Figures:
    plain = await _follow(bench, "")
    figures = {f"plain {name}": figure for name, figure in plain.items()}
    for coding in NAMES:
        one = await _follow(bench, coding)
        figures |= {f"{coding} {name}": figure for name, figure in one.items()}
        figures[f"{coding} ratio"] = plain["bytes_per_delivery"] / one["bytes_per_delivery"]
        figures[f"{coding} times cpu"] = one["us_per_delivery"] / plain["us_per_delivery"]
        figures[f"{coding} more kb"] = one["kb_per_client"] - plain["kb_per_client"]
    return figures


async def _history(bench: Bench) -> Figures:
    rig = bench.rig
    [topic] = await rig.topics(prefix="compressed")
    events = min(HISTORY_EVENTS, bench.options.events)
    end = time.time() - 60
    await produce_history(rig.bootstrap, topic, [end - n / RATE for n in range(events, 0, -1)], like_recentchange())
    sizes = {}
    async with rig.server({STREAM: topic}) as server:
        for compress in ("", *NAMES):
            path = server.stream(f"?since=0&limit={events}&compress={compress}")
            sizes[compress] = await _size(path)
    return {f"{coding} ratio": sizes[""] / sizes[coding] for coding in NAMES}


async def _size(url: str) -> int:
    """Read a stream that ends; return the bytes of its body as they were sent."""
    # urllib says that it takes nothing but what is not compressed.
    request = urllib.request.Request(url, headers={"Accept-Encoding": ", ".join(NAMES)})

    def read() -> int:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return sum(map(len, iter(functools.partial(answer.read, 1 << 16), b"")))

    return await asyncio.to_thread(read)


ROWS = [
    Row(
        "compress-live",
        f"{CLIENTS} clients with compression, {RATE:g} events/s of the demo, against as many without",
        _live,
        (
            Goal("zstd ratio", "≥", 6, "bytes ÷ bytes, zstd"),
            Goal("gzip ratio", "≥", 5, "bytes ÷ bytes, gzip"),
            *(Goal(f"{name} times cpu", "≤", 1.1, f"CPU per delivery ÷ CPU per delivery, {name}") for name in NAMES),
            *(Goal(f"{name} more kb", "≤", 2, f"kB of RSS per client more, {name}", noise=1) for name in NAMES),
        ),
        "that what many are sent is compressed once, and that clients stay in its window",
    ),
    Row(
        "compress-join",
        "the first event after connecting, with compression, against the same moment without",
        _join,
        tuple(Goal(f"{name} ms later", "≤", 1, f"ms later, median, {name}", noise=1) for name in NAMES),
        "that who comes in the middle of a window does not have to wait for the next one",
    ),
    Row(
        "compress-history",
        "history with compression, against the same without",
        _history,
        tuple(Goal(f"{name} ratio", "≥", 6, f"bytes ÷ bytes, {name}") for name in NAMES),
        "that history leaves in chunks that are large enough",
    ),
]
