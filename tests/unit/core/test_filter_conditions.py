"""`where`: conditions on any field of any event, against a second reading of the contract's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.filters.fields import reader_of
from streams.core.filters.where import parse_condition


def holds(condition: str, event: str | dict[str, Any]) -> bool:
    parsed = parse_condition(condition)
    encoded = event if isinstance(event, str) else json.dumps(event)
    return parsed.holds(reader_of(frozenset([parsed.path[0]])).read(encoded.encode()))


@pytest.mark.parametrize(
    ("condition", "event", "expected"),
    [
        # Numbers are exact, however large.
        ("x=1", '{"x": 1.0}', True),
        ("x=1.0", '{"x": 1}', True),
        ("x=1e2", '{"x": 100}', True),
        ("x=9007199254740993", '{"x": 9007199254740992}', False),
        ("x=9007199254740993", '{"x": 9007199254740993.0}', True),
        ("x=0.1", '{"x": 0.1000000000000000055511151231257827}', False),
        ("x=123456789012345678901234567890", '{"x": 123456789012345678901234567890}', True),
        ("x>1e400", '{"x": 1e401}', True),
        ("x=1e999999999", '{"x": 1}', False),
        ("x>1e99999999999999999999", '{"x": 1}', False),
        ("x>1", '{"x": 1e99999999999999999999}', False),
        ("x>1", '{"x": %s}' % ("9" * 5000), True),
        ("x=-0", '{"x": 0}', True),
        # By type and value.
        ("x=1", '{"x": true}', False),
        ("x=1", '{"x": "1"}', False),
        ('x="1"', '{"x": "1"}', True),
        ('x="1"', '{"x": 1}', False),
        ("x=true", '{"x": true}', True),
        ('x="true"', '{"x": true}', False),
        ("x=null", '{"x": null}', True),
        ("x=null", "{}", False),
        ("x=True", '{"x": "True"}', True),
        ("x=01", '{"x": "01"}', True),
        ("x=", '{"x": ""}', True),
        ('x=""', '{"x": ""}', True),
        ('x="', '{"x": "\\""}', True),
        ('x="a\\n"', '{"x": "a\\\\n"}', True),
        ("x=a=b", '{"x": "a=b"}', True),
        ("x==b", '{"x": "=b"}', True),
        # Not equal: the field is there, and no element equals.
        ("x!=1", '{"x": 2}', True),
        ("x!=1", '{"x": "1"}', True),
        ("x!=1", "{}", False),
        ("x!=1", '{"x": null}', False),
        ("x!=null", '{"x": 1}', True),
        ("x!=null", '{"x": null}', False),
        ("x!=1", '{"x": [2, 3]}', True),
        ("x!=1", '{"x": [1, 3]}', False),
        ("x!=1", '{"x": []}', True),
        ("x.y!=1", '{"x": [{"y": 1}, {"y": 2}]}', False),
        ("x.y!=1", '{"x": [{"y": 3}, {"z": 2}]}', True),
        # Order: numbers with numbers, texts with texts by code point.
        ("x<2", '{"x": 1}', True),
        ("x<=1", '{"x": 1}', True),
        ("x>=1", '{"x": 0.5}', False),
        ("x<2", '{"x": "1"}', False),
        ("x<2", '{"x": null}', False),
        ("x<true", '{"x": false}', False),
        ("x>=2026-01-01", '{"x": "2026-11-28T00:00:00Z"}', True),
        ("x>a", '{"x": "B"}', False),
        ("x<\U0001f600", '{"x": "\uffff"}', True),
        # Beginnings and parts: always text.
        ("x^=ab", '{"x": "abc"}', True),
        ("x^=1", '{"x": 12}', False),
        ("x^=1", '{"x": "12"}', True),
        ('x*="b c"', '{"x": "ab cd"}', True),
        ("x*=", '{"x": "a"}', True),
        ("x*=a", '{"x": ["b", "xay"]}', True),
        # The path alone.
        ("x", '{"x": 0}', True),
        ("x", '{"x": false}', True),
        ("x", '{"x": null}', False),
        ("x", '{"x": []}', False),
        ("x", '{"x": {}}', True),
        ("x", "{}", False),
        ("!x", "{}", True),
        ("!x", '{"x": []}', True),
        ("!x", '{"x": 0}', False),
        # Arrays on the way, at any depth.
        ("x.y=2", '{"x": [{"y": 1}, {"y": 2}]}', True),
        ("x.y=2", '{"x": [[{"y": 2}]]}', True),
        ("x=2", '{"x": [[1, 2]]}', True),
        ("x.y", '{"x": 1}', False),
        ("x.0=1", '{"x": [1]}', False),
        ("x.0=1", '{"x": {"0": 1}}', True),
        # Names.
        ("$schema*=recentchange", '{"$schema": "/mediawiki/recentchange/1.0.0"}', True),
        ("a-b.@c=1", '{"a-b": {"@c": 1}}', True),
        ("a-=1", '{"a-": 1}', True),
        ("заголовок=x", '{"заголовок": "x"}', True),
        # Of a name that stands twice, the last counts; escapes in names and texts are undone.
        ("x=2", '{"x": 1, "x": 2}', True),
        ("x=2", '{"\\u0078": 2}', True),
        ("x=é", '{"x": "\\u00e9"}', True),
        # Lone surrogates, which JSON allows.
        ("x^=a", '{"x": "a\\ud800"}', True),
        ("x=1", '{"x": 1, "y": "\\ud800"}', True),
    ],
)
def test_whether_a_condition_holds(condition: str, event: str, expected: bool) -> None:
    assert holds(condition, event) is expected


leaves = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["", "a", "b", "1", "true"]))
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "^=", "*=", "", "!"])
literals = st.sampled_from(["1", "-1", "0", "a", "", "true", "null", '"1"'])


def expected_of(value: Any, names: list[str], op: str, literal: str) -> bool:
    """The contract read once more, plainly."""

    def at(value: Any, names: list[str]) -> list[Any]:
        if not names:
            return [value]
        if isinstance(value, list):
            return [found for element in value for found in at(element, names)]
        return at(value[names[0]], names[1:]) if isinstance(value, dict) and names[0] in value else []

    def flat(values: list[Any]) -> list[Any]:
        return [e for v in values for e in (flat(v) if isinstance(v, list) else [v])]

    found = at(value, names)
    if op in ("", "!"):
        return any(v is not None and v != [] for v in found) is (op == "")
    if op in ("^=", "*="):
        text = literal[1:-1] if literal[:1] == '"' else literal
        return any(isinstance(v, str) and (v.startswith(text) if op == "^=" else text in v) for v in flat(found))
    try:
        wanted = json.loads(literal)
    except ValueError:
        wanted = literal

    def kind(v: Any) -> str:
        return "number" if isinstance(v, int) and not isinstance(v, bool) else type(v).__name__

    def equal(v: Any) -> bool:
        return kind(v) == kind(wanted) and bool(v == wanted)

    if op == "=":
        return any(equal(v) for v in flat(found))
    if op == "!=":
        return any(v is not None for v in found) and not any(equal(v) for v in flat(found))
    comparable = [v for v in flat(found) if kind(v) == kind(wanted) and kind(v) in ("number", "str")]
    return any({"<": v < wanted, "<=": v <= wanted, ">": v > wanted, ">=": v >= wanted}[op] for v in comparable)


@given(values, st.lists(st.sampled_from("xyz"), min_size=1, max_size=3), operators, literals)
def test_conditions_hold_as_the_contract_reads(value: Any, names: list[str], op: str, literal: str) -> None:
    event = {"x": value, "y": value} if names[0] != "z" else {"z": value}
    path = ".".join(names)
    condition = f"!{path}" if op == "!" else path if not op else f"{path}{op}{literal}"
    assert holds(condition, event) is expected_of(event, names, op, literal)
