"""What is added to an event is added to its own `meta`, however that is spelled and whatever else is called so."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redaction.redactor import Redactor
from streams.core.events import Record, SkippedRecord, encode

ADDED = {"topic": "t", "partition": 1, "offset": 7}

NOBODY = Redactor({})
"""Events of no listed page take the short way, on which bytes are put into the record's own."""
SOMEBODY = Redactor({"en.wikipedia.org": ["Somebody"]})


def encoded(value: bytes, redactor: Redactor) -> bytes:
    return encode(Record("t", 1, 7, 1_596_207_527_000, None, value), redactor).json


@pytest.mark.parametrize("redactor", [NOBODY, SOMEBODY])
@pytest.mark.parametrize(
    "value",
    [
        b'{"ab":{"x":1},"meta" :{"x":1}}',
        b'{"a":{"meta":{"x":1}},"meta" :{"x":1}}',
        b'{"a":{"meta":{"x":1}},"meta"\t:{"x":1}}',
        b'{"a":{"meta":{"x":1}},"\\u006deta":{"x":1}}',
        b'{"a":{"meta":{"x":1}},"\\u006Deta":{"x":1}}',
        b'{"a":{"meta":{"x":1}},"m\\u0065\\u0074a":{"x":1}}',
        b'{"\\u006deta":{"x":1},"a":{"meta":{"x":1}}}',
        b'{"meta":{"x":1},"meta" :{"x":1}}',
        b'{"meta":{"x":1},"\\u006deta":{"x":1}}',
        b'{"\\u006deta":{"x":1},"meta":{"x":1}}',
        b'{"meta":{"x":1},"meta":{"y":2}}',
        b'{"meta":{"x":1},"meta":null}',
        b'{"meta":null,"meta":{"x":1}}',
        b'{"a":[{"meta":{"x":1}}],"meta": {"x":1}}',
        b'{"a":"\\"meta\\":{","b":"say \\"meta","meta":{"x":1}}',
        b'{"a":"\\\\\\"meta","meta":{"x":1}}',
        b'{"a":"\xc3\xa9 \\u00e9 \\u0041","meta":{"x":1}}',
        b'{"a":"\\ud800","b":{"meta":{"x":1}},"meta" :{"x":1}}',
        b'{"a":{"topic":"u","partition":3,"offset":9},"meta":{"topic":"u"}}',
    ],
)
def test_what_is_added_stands_in_the_event_s_own_meta(value: bytes, redactor: Redactor) -> None:
    record = json.loads(value)
    event = json.loads(encoded(value, redactor))
    assert event == {**record, "meta": {**(record["meta"] or {}), **ADDED}}


_BLANKS = st.sampled_from(["", "", "", " ", "\t", "\n", " \r\n"])


@st.composite
def _named(draw: st.DrawFn, name: str) -> str:
    """A member's name as JSON has it, any of its characters escaped."""
    escaped = draw(st.sets(st.integers(0, len(name) - 1), max_size=2)) if name and draw(st.booleans()) else set()
    hexed = draw(st.sampled_from(["\\u%04x", "\\u%04X"]))
    return '"%s"' % "".join(hexed % ord(char) if n in escaped else char for n, char in enumerate(name))


_NAMES = st.sampled_from(
    ["meta", "meta", "meta", "meta2", "Meta", "mEta", "a", "topic", "partition", "offset", "é", ""]
)
_SCALARS = st.sampled_from(
    [
        "1",
        "null",
        "true",
        '"meta"',
        '"\\"meta\\":"',
        '"meta\\":{"',
        '"\\u006deta"',
        '"é\\u00e9"',
        '"\\ud800"',
        "[]",
        "{}",
    ]
)


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def made(draw: st.DrawFn) -> str:
        members = draw(st.lists(st.tuples(_NAMES.flatmap(_named), _BLANKS, _BLANKS, values), max_size=3))
        between = draw(_BLANKS)
        return "{%s}" % ("," + between).join(f"{name}{a}:{b}{value}" for name, a, b, value in members)

    return made()


_METAS = st.sampled_from(['{"x":1}', '{"x":1,"\\u0074opic":2}', '{"x":1}', '{"x" : "meta"}', "null"])
_VALUES = st.recursive(
    _SCALARS | _METAS,
    lambda inner: _objects(inner | _METAS) | st.lists(inner, max_size=2).map(lambda some: "[%s]" % ",".join(some)),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None, database=None)
@given(_objects(_VALUES), st.sampled_from([NOBODY, SOMEBODY]))
def test_of_any_object_nothing_but_its_own_meta_is_another(text: str, redactor: Redactor) -> None:
    record = json.loads(text)
    meta = record.get("meta")
    if not isinstance(meta, dict | None):
        with pytest.raises(SkippedRecord, match="bad_meta"):
            encoded(text.encode(), redactor)
    else:
        assert json.loads(encoded(text.encode(), redactor)) == {**record, "meta": {**(meta or {}), **ADDED}}
