"""Many requests at once, from another process, so that the attack does not hold up what is measured meanwhile."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

SECONDS = 120.0


class Request:
    """`body` is sent `times` times."""

    def __init__(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: str = "", times: int = 1
    ) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body) * times}"] if body else []
        self.head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._body, self._times = body.encode(), times

    def data(self) -> bytes:
        return self.head + self._body * self._times


async def flood(port: int, requests: Sequence[Request], at_once: int, *, abort: bool = False) -> Counter[str]:
    """Send them; how often each status came, "none" where there was none. With `abort` each connection is reset right
    after its request has been sent.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.client.flood"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            answer, _ = await process.communicate(pickle.dumps((port, list(requests), at_once, abort)))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    found: Counter[str] = pickle.loads(answer)
    return found


async def _one(port: int, data: bytes, places: asyncio.Semaphore, abort: bool) -> str:
    async with places:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return "none"
        try:
            if abort:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.write(data)
            await writer.drain()
            if abort:
                await asyncio.sleep(0.05)  # so that it is read
                return "none"
            head = await reader.readline()
            while await reader.read(1 << 16):
                pass
            return head.split()[1].decode() if head else "none"
        except OSError:
            return "none"
        finally:
            writer.close()


async def _all(port: int, requests: Sequence[Request], at_once: int, abort: bool) -> Counter[str]:
    places = asyncio.Semaphore(at_once)
    return Counter(await asyncio.gather(*(_one(port, each.data(), places, abort) for each in requests)))


if __name__ == "__main__":
    # Its requests are pickled under the name of the module.
    from tests.support.client import flood as module

    given = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(asyncio.run(module._all(*given))))
