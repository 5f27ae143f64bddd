"""A Kafka record becomes an event: decode → redact → encode, the one way for live and historical events alike.

Values that we do not touch stay byte for byte as they were produced (large integers, floats, escapes, key order). Of
most records just enough is decoded to know that they are JSON, and of which domain; what is added to ``meta`` is put
into their bytes (`_spliced`). Any other is taken apart into ``dict[str, msgspec.Raw]`` (`_rewritten`).

Source: wire contract, "The two formats"; invariant 2.
"""

from __future__ import annotations

import base64
import functools
import itertools
import re
from typing import Protocol

import msgspec

Fields = dict[str, msgspec.Raw]

_decode = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode
_encode_into = msgspec.json.Encoder().encode_into

_PLACE_BYTES = 256
"""Maximum bytes that are added to a record on its way to an event."""

_NULL = b"null"
NO_MEMBER = msgspec.Raw(b"")
"""Stands for a member that an event does not have."""
_BRACE, _QUOTE, _COLON, _CLOSING_BRACE = b'{":}'
_TELLING_BYTES = 32
"""Bytes with which `meta` begins that hardly ever stand anywhere else in an event, and are found quickly."""
# Legal inside a JSON string, but clients that split lines by Unicode's rules would cut the event there.
_LINE_BREAKS = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\u0085": "\\u0085"}
_ESCAPED = str.maketrans(_LINE_BREAKS)
_ESCAPED_ASCII = re.compile(rb"\\u00([0-7][0-9a-fA-F])")
# One escape sequence inside a JSON string: a pair of surrogates, a lone one (the group), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


class Record(msgspec.Struct, frozen=True, gc=False):
    """What Kafka holds. `timestamp` is in ms since the epoch, -1 where the record has none (`record_timestamp`)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Event(msgspec.Struct, frozen=True, gc=False):
    """A record as clients get it: one line of JSON, UTF-8, without a line break."""

    offset: int
    timestamp: int
    json: bytes


class SkippedRecord(Exception):
    """The record is no event: it is counted under `reason` and skipped, and ends no stream.

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

    def is_unlisted(self, domain: msgspec.Raw, server_name: msgspec.Raw, /) -> bool:
        """Return True if these members of ``meta`` and of the event (empty if missing) tell that no page is listed.

        After False, `redact` decides.
        """
        ...

    def redact(self, event: Fields, meta: Fields | None = None, /) -> bool:
        """Redact `event` in place; return True if it was changed. If this raises, the event stays here."""
        ...

    def redact_key(self, key: bytes, /) -> bytes | None:
        """Return what may leave of the key of a record whose event was changed; None for nothing."""
        ...


class _Envelope(msgspec.Struct, gc=False):
    """What is looked at of every event; the rest is checked to be JSON, and skipped."""

    meta: msgspec.Raw = NO_MEMBER
    server_name: msgspec.Raw = NO_MEMBER


class _Meta(msgspec.Struct, gc=False):
    domain: msgspec.Raw = NO_MEMBER
    topic: msgspec.Raw = NO_MEMBER
    partition: msgspec.Raw = NO_MEMBER
    offset: msgspec.Raw = NO_MEMBER
    key: msgspec.Raw = NO_MEMBER


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_looked_at_meta = msgspec.json.Decoder(_Meta).decode


def encode(record: Record, redactor: Redactor) -> Event:
    """Return the event of a record, redacted, with ``meta.topic``, ``.partition``, ``.offset`` (and ``.key``) added.

    Raises SkippedRecord with one of the reasons tombstone, empty, bad_utf8, not_json, not_an_object, bad_meta,
    withheld.
    """
    value = record.value
    if value is None:
        raise SkippedRecord("tombstone")
    try:
        text = value.decode()  # msgspec does not look inside strings that it skips, so the encoding is checked
    except UnicodeDecodeError:
        raise SkippedRecord("bad_utf8") from None
    json = None
    # A character is found in text four times as fast as its bytes in bytes.
    if not ("\n" in text or "\r" in text or _has_line_break(text)):
        json = _spliced(value, record, redactor)
    return Event(record.offset, record.timestamp, _rewritten(value, record, redactor) if json is None else json)


def is_safe_to_cache(record: Record, redactor: Redactor) -> bool:
    """Return whether a record may stay in memory as it is: its domain says that no listed page is meant."""
    if redactor.is_unlisted(NO_MEMBER, NO_MEMBER):
        return True  # none is listed
    seen = _looked_at(record.value or b"")
    if seen is None:
        return False
    envelope, _, meta = seen
    return redactor.is_unlisted(meta.domain, envelope.server_name)


def _looked_at(value: bytes) -> tuple[_Envelope, bytes, _Meta] | None:
    """The members that are looked at, with the bytes of ``meta``; None where they cannot be told."""
    try:
        envelope = _decode_envelope(value)
        raw = bytes(envelope.meta)
        return envelope, raw, _decode_looked_at_meta(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _spliced(value: bytes, record: Record, redactor: Redactor) -> bytes | None:
    """The event of a record of no listed page, as the record's bytes with those of ``meta`` put in where it ends.

    None where that cannot be done: the record is no event, or has to be taken apart.
    """
    seen = _looked_at(value)
    if seen is None:
        return None
    envelope, raw, meta = seen
    if not redactor.is_unlisted(meta.domain, envelope.server_name):
        return None
    key = record.key
    is_plain = (
        meta.topic is meta.partition is meta.offset is meta.key is NO_MEMBER
        and raw[0] == _BRACE
        and raw[1] == _QUOTE  # it has members
        and value[0] == _BRACE
        and value[-1] == _CLOSING_BRACE
        and (key is None or key.isascii())
    )
    # Its name would not tell where it stands: a nested object may have the same, and its own be spelled otherwise. What
    # it begins with does, if that stands there only once.
    beginning = raw[:_TELLING_BYTES]
    start = value.rfind(beginning)
    if not is_plain or value.find(beginning) != start or value[start - 1] != _COLON:  # blanks are left out, all or none
        return None
    end = start + len(raw) - 1
    shown = b"" if key is None else b',"key":%b' % _encode(key.decode())
    place = _place_of(record.topic, record.partition)
    return b"".join((value[:end], place, b"%d" % record.offset, shown, value[end:]))


@functools.lru_cache(maxsize=4096)
def _place_of(topic: str, partition: int) -> bytes:
    return b',"topic":"%b","partition":%d,"offset":' % (topic.encode(), partition)


def _rewritten(value: bytes, record: Record, redactor: Redactor) -> bytes:
    """The event of any record. Raises SkippedRecord."""
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
    return _one_line(_compact(fields, len(value)), marker)


def _compact(fields: Fields, record_bytes: int) -> bytes:
    """The JSON, taking up no more than its length: what msgspec itself returns keeps half as much again, unused."""
    buffer = bytearray(record_bytes + _PLACE_BYTES)
    _encode_into(fields, buffer)
    return bytes(buffer)


def _decode_object(value: bytes, key: bytes) -> tuple[Fields, bytes]:
    r"""Return the members of the object, and what stands in for the ``\u`` of lone surrogates (b"" if nothing does).

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
    # JSON's grammar allows lone surrogates, msgspec does not: they travel as plain text and are put back at the end.
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


def _has_line_break(text: str) -> bool:
    """Of those beyond ASCII."""
    return "\u2028" in text or "\u2029" in text or "\u0085" in text


def _one_line(json: bytes, marker: bytes) -> bytes:
    if b"\n" in json or b"\r" in json:
        json = msgspec.json.format(json, indent=-1)
    if not json.isascii():
        text = json.decode()
        if _has_line_break(text):
            json = text.translate(_ESCAPED).encode()
    return json.replace(marker, b"\\u") if marker else json
