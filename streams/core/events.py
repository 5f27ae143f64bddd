"""A Kafka record becomes an event: decode → redact → encode, the one way for live and historical events alike.

Values that we do not touch stay byte for byte as they were produced (large integers, floats, escapes, key order):
an object is decoded to ``dict[str, msgspec.Raw]`` and only ``meta`` is opened.

Source: wire contract, "The two formats"; invariant 2.
"""

from __future__ import annotations

import base64
import itertools
import re
from typing import NamedTuple, Protocol

import msgspec

Fields = dict[str, msgspec.Raw]

_decode = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode
_encode_into = msgspec.json.Encoder().encode_into

_PLACE_BYTES = 256
"""So much longer an event may get by what is added to its record."""

_NULL = b"null"
# Legal inside a JSON string, but clients that split lines by Unicode's rules would cut the event there.
_LINE_BREAKS = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\u0085": "\\u0085"}
_ESCAPED = str.maketrans(_LINE_BREAKS)
_ESCAPED_ASCII = re.compile(rb"\\u00([0-7][0-9a-fA-F])")
# One escape sequence inside a JSON string: a pair of surrogates, a lone one (the group), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


class Record(NamedTuple):
    """What Kafka holds. `timestamp` is in ms since the epoch, -1 where the record has none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Event(NamedTuple):
    """A record as clients get it: one line of JSON, UTF-8, without a line break."""

    offset: int
    timestamp: int
    json: bytes


class SkippedRecord(Exception):
    """The record is no event: it is counted under `reason` and passed over, and ends no stream.

    The message never holds a part of the record.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Withheld(Exception):
    """A redactor could not examine an event, so that it must not leave."""


class Redactor(Protocol):
    """Removes what must not leave from a decoded event, in place."""

    @property
    def version(self) -> int:
        """The version of the list of pages that it was compiled from."""
        ...

    def redact(self, event: Fields, meta: Fields | None = None) -> bool:
        """True when `event` was changed. Raises Withheld (or anything else: the event then stays here)."""
        ...

    def redact_key(self, key: bytes) -> bytes | None:
        """What may leave of the key of a record whose event was changed; None: nothing."""
        ...


def encode(record: Record, redactor: Redactor) -> Event:
    """The event of a record, with ``meta.topic``, ``.partition``, ``.offset`` (and ``.key``) added, redacted.

    Raises SkippedRecord with one of the reasons tombstone, empty, bad_utf8, not_json, not_an_object, bad_meta,
    withheld.
    """
    value = record.value
    if value is None:
        raise SkippedRecord("tombstone")
    # msgspec.Raw does not look inside strings, so the encoding is checked here.
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError:
            raise SkippedRecord("bad_utf8") from None
    fields, marker = _decode_object(value, record.key or b"")
    meta = _decode_meta(fields)
    key = record.key
    try:
        if redactor.redact(fields, meta):
            meta = _decode_meta(fields)
            key = redactor.redact_key(key) if key else key
    except Withheld:
        raise SkippedRecord("withheld") from None
    _place(meta, record, key)
    fields["meta"] = msgspec.Raw(_encode(meta))
    return Event(record.offset, record.timestamp, _one_line(_compact(fields, len(value)), marker))


def _compact(fields: Fields, record_bytes: int) -> bytes:
    """The JSON, taking up no more than its length: what msgspec itself returns keeps half as much again, unused."""
    buffer = bytearray(record_bytes + _PLACE_BYTES)
    _encode_into(fields, buffer)
    return bytes(buffer)


def _decode_object(value: bytes, key: bytes) -> tuple[Fields, bytes]:
    """The members of the object, and what stands in for the ``\\u`` of lone surrogates (b"" where none does).

    `key` is the record's, which will stand in the event beside them.
    """
    try:
        return _decode(value), b""
    except msgspec.ValidationError:
        raise SkippedRecord("not_an_object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if not value.strip():
        raise SkippedRecord("empty")
    # JSON's grammar allows lone surrogates, msgspec does not: they travel as plain text and come back at the end.
    # No end of the marker is a beginning of it, so it is found again where it was put and nowhere else: also not in the
    # name of a member, whose escapes are undone on the way.
    known = value + key
    known += _ESCAPED_ASCII.sub(lambda m: bytes.fromhex(m[1].decode()), known)
    marker = next(m for n in itertools.count() if (m := b"<%d>" % n) not in known)
    guarded = _ESCAPE.sub(lambda m: marker + m[1] if m[1] else m[0], value)
    try:
        return _decode(guarded), marker
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SkippedRecord("not_json") from None


def _decode_meta(fields: Fields) -> Fields:
    raw = fields.get("meta")
    if raw is None or bytes(raw) == _NULL:
        return {}
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SkippedRecord("bad_meta") from None


def _place(meta: Fields, record: Record, key: bytes | None) -> None:
    meta["topic"] = msgspec.Raw(b'"%s"' % record.topic.encode())
    meta["partition"] = msgspec.Raw(b"%d" % record.partition)
    meta["offset"] = msgspec.Raw(b"%d" % record.offset)
    if key is not None:
        try:
            text = key.decode()
        except UnicodeDecodeError:
            text = base64.b64encode(key).decode()
        meta["key"] = msgspec.Raw(_encode(text))


def _one_line(json: bytes, marker: bytes) -> bytes:
    if b"\n" in json or b"\r" in json:
        json = msgspec.json.format(json, indent=-1)
    if not json.isascii():
        text = json.decode()  # a character is found in text four times as fast as its bytes in bytes
        if any(line_break in text for line_break in _LINE_BREAKS):
            json = text.translate(_ESCAPED).encode()
    return json.replace(marker, b"\\u") if marker else json
