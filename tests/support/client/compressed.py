"""Compressed bodies, read as strict clients do: each chunk is decoded at once, and the end has to be right."""

from __future__ import annotations

import sys
import zlib

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor
else:
    from backports.zstd import ZstdDecompressor


class Decoder:
    """`plain` is all that could be decoded up to now."""

    plain = b""

    def feed(self, data: bytes) -> bytes:
        """Decode what has come; return what is new."""
        raise NotImplementedError

    @property
    def is_whole(self) -> bool:
        """Whether the body may end here."""
        raise NotImplementedError


class GzipDecoder(Decoder):
    """zlib checks length and CRC at the end."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def feed(self, data: bytes) -> bytes:
        new = self._decoder.decompress(data)
        assert not self._decoder.unused_data
        self.plain += new
        return new

    @property
    def is_whole(self) -> bool:
        return self._decoder.eof


class ZstdDecoder(Decoder):
    """Frames after each other are one body (RFC 8878, 3.1)."""

    def __init__(self) -> None:
        self._decoder = ZstdDecompressor()

    def feed(self, data: bytes) -> bytes:
        new = b""
        while data:
            if self._decoder.eof:
                self._decoder = ZstdDecompressor()
            new += self._decoder.decompress(data)
            data = self._decoder.unused_data if self._decoder.eof else b""
        self.plain += new
        return new

    @property
    def is_whole(self) -> bool:
        return self._decoder.eof


def decoder(coding: str) -> Decoder:
    """A decoder for a body with this Content-Encoding."""
    return {"zstd": ZstdDecoder, "gzip": GzipDecoder}[coding]()
