"""Conditions on any field of any event: the parameter `where`.

    path = value    !=  <  <=  >  >=  ^= (begins with)  *= (contains)
    path            the field is there, not null and no empty array
    !path           it is not

Source: wire contract, "Choosing events".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from streams.core.filters.fields import Fields, Path, exact_number

_NAME = r"[\w$@-]+"
_CONDITION = re.compile(
    rf"(?P<not>!?)(?P<path>{_NAME}(?:\.{_NAME})*)(?:(?P<operator>!=|<=|>=|\^=|\*=|=|<|>)(?P<value>.*))?", re.DOTALL
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SHORT_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_LITERALS = {"true": True, "false": False, "null": None}
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXTS: dict[str, Callable[[str, str], bool]] = {"^=": str.startswith, "*=": operator.contains}

EXPECTED = (
    "a path, or !path, or a path with one of = != < <= > >= ^= *= and a value, such as performer.user_is_bot=true; "
    "names in a path have letters, digits, _, $, - and @, joined by dots"
)


class ConditionError(ValueError):
    """The text is no condition."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, equal to others of the same text."""

    text: str
    path: Path = field(compare=False)
    holds: Callable[[Fields], bool] = field(compare=False, repr=False)


def parse_condition(text: str) -> Condition:
    """Return the condition that a text says. Raises ConditionError."""
    match = _CONDITION.fullmatch(text)
    if match is None or (match["not"] and match["operator"]):
        raise ConditionError(text)
    path = tuple(match["path"].split("."))
    return Condition(text, path, _compiled(path, bool(match["not"]), match["operator"], match["value"]))


def _compiled(path: Path, is_negated: bool, op: str | None, text: str) -> Callable[[Fields], bool]:
    if op is None:
        return lambda fields: any(map(_is_there, fields.all(path))) is not is_negated
    is_quoted = len(text) >= 2 and text[0] == text[-1] == '"'
    unquoted = text[1:-1] if is_quoted else text
    if op in _TEXTS:
        return _any(path, str, _TEXTS[op], unquoted)
    value = unquoted if is_quoted else _value(text)
    kind = _kind(value)
    if op == "=":
        return _any(path, kind, operator.eq, value)
    if op == "!=":
        return lambda fields: _differs(fields.all(path), fields.elements(path), kind, value)
    if kind not in (Decimal, str):
        return lambda _fields: False
    return _any(path, kind, _ORDERS[op], value)


def _any(path: Path, kind: type, test: Callable[[Any, Any], bool], value: Any) -> Callable[[Fields], bool]:
    """Return whether any element at a path is of a kind and passes a test against a value, as a function."""
    also = int if kind is Decimal else kind

    def holds(fields: Fields) -> bool:
        for element in fields.elements(path):
            its = type(element)
            if (its is kind or its is also) and test(element, value):
                return True
        return False

    return holds


def _value(text: str) -> Any:
    if text in _LITERALS:
        return _LITERALS[text]
    if _SHORT_INTEGER.fullmatch(text):
        return int(text)  # compared with integers faster than a Decimal is
    return exact_number(text) if _NUMBER.fullmatch(text) else text


def _kind(value: Any) -> type:
    """Return what a value is compared as: all numbers are one kind, and true is none of them."""
    kind = type(value)
    return Decimal if kind is int else kind


def _is_there(value: Any) -> bool:
    return value is not None and value != []


def _differs(values: list[Any], elements: list[Any], kind: type, value: Any) -> bool:
    """Return whether a field is there, and no value of it equals."""
    if all(v is None for v in values):
        return False
    return not any(_kind(v) is kind and v == value for v in elements)
