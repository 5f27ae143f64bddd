"""The engine's bounds are checked once, and every part is handed the same ones."""

from __future__ import annotations

import dataclasses
import pkgutil
from importlib import import_module

import pytest

import streams.engine
from streams.engine.memory import MemorySource
from streams.engine.tuning import DEFAULT, Tuning
from tests.support.engine import Engine


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Tuning)])
def test_a_bound_below_zero_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is -1: expected"):
        Tuning(**{name: -1})


@pytest.mark.parametrize("name", ["ring_bytes", "turn_records", "retry_seconds", "history_readers"])
def test_a_bound_without_which_nothing_would_move_may_not_be_zero(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is 0: expected more than 0"):
        Tuning(**{name: 0})


def test_no_module_of_the_engine_has_a_bound_of_its_own_that_is_also_here() -> None:
    names = {field.name.upper() for field in dataclasses.fields(Tuning)}
    for found in pkgutil.walk_packages(streams.engine.__path__, "streams.engine."):
        assert not names & vars(import_module(found.name)).keys(), found.name


def test_what_is_handed_in_reaches_the_parts() -> None:
    engine = Engine(MemorySource(), ring_bytes=1_234, history_readers=3, turn_seconds=0.5)
    assert engine.hub.tuning is engine.history.tuning is engine.tuning
    assert engine.history.slots._free == 3
    assert engine.history.slots.turn_seconds == 0.5


def test_nothing_can_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.ring_bytes = 1  # type: ignore[misc]
