"""Decompresses the body of an answer piece by piece, within a limit, whatever the server sends.

httpx's own decoders decompress a piece as a whole (up to a thousand times its size), and keep and copy whatever follows
the end of the compressed data.
"""

from __future__ import annotations

import zlib

ENCODINGS = ("gzip", "deflate")
"""What requests offer in Accept-Encoding."""
MAX_MEMBERS = 1024
"""Maximum members of one gzip body: each needs a new decompressor."""

_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class InflateError(Exception):
    """Why a body cannot be decompressed: the rest of a sentence that begins with "it"."""


class Inflate:
    """The decompressor of one body; `encoding` is "gzip" or "deflate".

    Bytes after the end are an error too: part of a document must not pass for the whole. Zeros are padding, as for gzip
    itself.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._members = 0
        self._current: zlib._Decompress | None = None

    def decode(self, piece: bytes, limit: int) -> bytes | None:
        """Return the decompressed piece, or None if it has more than `limit` bytes.

        Raises:
            InflateError: The body is damaged.
        """
        found = bytearray()
        while piece:
            if self._current is None:
                piece = piece.lstrip(b"\0") if self._members else piece
                if not piece:
                    break
                self._current = self._begun(piece)
            current = self._current
            try:
                found += current.decompress(piece, limit + 1 - len(found))
            except zlib.error:
                raise InflateError(self._fault) from None
            if current.unconsumed_tail or len(found) > limit:
                return None
            piece = current.unused_data
            if current.eof:
                self._current = None
        return bytes(found)

    def finish(self) -> None:
        """Check, at the end of the body, that it is complete.

        Raises:
            InflateError: The body is truncated.
        """
        if self._current is not None or not self._members:
            raise InflateError("is truncated")

    def _begun(self, piece: bytes) -> zlib._Decompress:
        if self._members and (self._encoding != "gzip" or piece[0] != 0x1F):
            raise InflateError(f"has bytes after the end of its {self._encoding} data")
        if self._members == MAX_MEMBERS:
            raise InflateError(f"has more than {MAX_MEMBERS} gzip members")
        self._members += 1
        if self._encoding == "gzip":
            return zlib.decompressobj(_GZIP)
        # "deflate" is the zlib format (RFC 9110, 8.4.1.2); some servers send it without zlib's header.
        return zlib.decompressobj(_ZLIB if piece[0] & 0x0F == 8 else _RAW)

    @property
    def _fault(self) -> str:
        return f"is not {self._encoding}, as its Content-Encoding says"
