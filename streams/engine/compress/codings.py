"""zstd and gzip (RFC 8878, RFC 1952) as pieces, which the body of a client is put together from.

A body is `start`, pieces, and an end. A piece holds whole events, and what has been read so far can be decoded without
what comes next. A piece that stands alone may follow anything; a window begins with such a piece, and each further
piece of it refers back to those before, and may only follow them.

zstd: a piece that stands alone ends the frame before it and opens another one, and a window is one frame. No piece ends
with the end of a frame: httpx takes a frame that ends together with a chunk for the end of the body. Deflate is one
stream; a piece that stands alone has nothing before it that it could refer to.
"""

from __future__ import annotations

import sys
from typing import NamedTuple, Protocol

from zlib_ng import zlib_ng

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, ZstdCompressor
else:
    from backports.zstd import CompressionParameter, ZstdCompressor

ZSTD_WINDOW_LOG = 17
"""A window refers back by at most two to this power in bytes, which is also what it makes a client hold."""
ZSTD_WINDOW: dict[int, int] = {
    CompressionParameter.compression_level: 5,
    CompressionParameter.window_log: ZSTD_WINDOW_LOG,
    CompressionParameter.hash_log: 15,
    CompressionParameter.chain_log: 15,
}
"""330 kB of memory instead of 2.7 MB, for a ratio that is 1 % lower."""
ZSTD_ALONE: dict[int, int] = {
    CompressionParameter.compression_level: 3,
    CompressionParameter.window_log: ZSTD_WINDOW_LOG,
}
"""Level 5 would take three times as long for blocks of history, and make them 7 % smaller."""
DEFLATE_LEVEL = 6

_END = b"\x01\x00\x00"
"""The last block of a frame, without content."""
_OPEN = b"\x28\xb5\x2f\xfd\x00" + bytes([(ZSTD_WINDOW_LOG - 10) << 3])
"""The header of a frame without a checksum, and without the size of its content."""
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Without a name and a time, made on an unknown system."""
_LAST_BLOCK = b"\x03\x00"
"""The last block of a deflate stream, without content."""


class Sums(NamedTuple):
    """CRC-32 and length of some bytes."""

    crc: int
    nbytes: int

    def plus(self, data: bytes) -> Sums:
        """Return the sums with more bytes at the end."""
        return Sums(zlib_ng.crc32(data, self.crc), self.nbytes + len(data))

    def moved(self, start: Sums, end: Sums) -> Sums:
        """Return the sums with what lies between two others at the end: those of one text, up to `start` and to `end`.

        A CRC is linear: a text and its beginning, taken off by XOR, leave what lies between.
        """
        nbytes = end.nbytes - start.nbytes
        return Sums(zlib_ng.crc32_combine(self.crc ^ start.crc, end.crc, nbytes), self.nbytes + nbytes)


NO_SUMS = Sums(0, 0)


class Window(Protocol):
    """A compressor, used for one window after another."""

    def begin(self, data: bytes) -> bytes:
        """Return the first piece of a new window, which stands alone; `data` is not empty."""

    def follow(self, data: bytes) -> bytes:
        """Return the next piece of the window; `data` is not empty."""


class Coding(Protocol):
    """A content coding. `name` is that in `Content-Encoding`, `start` is the beginning of a body."""

    name: str
    start: bytes
    has_sums: bool
    """Whether the end of a body needs the sums of its content."""

    def window(self) -> Window:
        """Return a new compressor for windows."""

    def alone(self, data: bytes) -> bytes:
        """Return a piece that stands alone; `data` is not empty."""

    def end(self, sums: Sums) -> bytes:
        """Return the end of a body with this content."""

    def forget(self) -> None:
        """Begin with a new compressor: nothing of what was compressed stays in memory."""


class ZstdWindow:
    """A window is a frame."""

    def __init__(self, options: dict[int, int]) -> None:
        self._compressor = ZstdCompressor(options=options)

    def begin(self, data: bytes) -> bytes:
        """See Window."""
        self._compressor.flush(ZstdCompressor.FLUSH_FRAME)  # each client's frame ends where its next one is opened
        return _END + self.follow(data)

    def follow(self, data: bytes) -> bytes:
        """See Window."""
        return self._compressor.compress(data, ZstdCompressor.FLUSH_BLOCK)


class Zstd:
    """The coding "zstd"."""

    name = "zstd"
    start = _OPEN
    has_sums = False

    def __init__(self) -> None:
        self.forget()

    def window(self) -> ZstdWindow:
        """See Coding."""
        return ZstdWindow(ZSTD_WINDOW)

    def alone(self, data: bytes) -> bytes:
        """See Coding."""
        return self._alone.begin(data)

    def end(self, _sums: Sums) -> bytes:
        """See Coding."""
        return _END

    def forget(self) -> None:
        """See Coding."""
        self._alone = ZstdWindow(ZSTD_ALONE)


class DeflateWindow:
    """A window begins where nothing refers back any more."""

    def __init__(self) -> None:
        self._compressor = zlib_ng.compressobj(DEFLATE_LEVEL, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS)

    def begin(self, data: bytes) -> bytes:
        """See Window."""
        self._compressor.flush(zlib_ng.Z_FULL_FLUSH)  # an empty block, which need not be sent
        return self.follow(data)

    def follow(self, data: bytes) -> bytes:
        """See Window."""
        compressor = self._compressor
        return compressor.compress(data) + compressor.flush(zlib_ng.Z_SYNC_FLUSH)


class Gzip:
    """The coding "gzip"."""

    name = "gzip"
    start = _GZIP_HEADER
    has_sums = True

    def __init__(self) -> None:
        self.forget()

    def window(self) -> DeflateWindow:
        """See Coding."""
        return DeflateWindow()

    def alone(self, data: bytes) -> bytes:
        """See Coding."""
        return self._alone.begin(data)

    def end(self, sums: Sums) -> bytes:
        """See Coding."""
        length = sums.nbytes & 0xFFFFFFFF
        return _LAST_BLOCK + sums.crc.to_bytes(4, "little") + length.to_bytes(4, "little")

    def forget(self) -> None:
        """See Coding."""
        self._alone = DeflateWindow()


NAMES = ("zstd", "gzip")
"""The codings, the best first."""


def codings() -> dict[str, Coding]:
    """Return all codings by name, the best first, with their own compressors."""
    return {coding.name: coding for coding in (Zstd(), Gzip())}
