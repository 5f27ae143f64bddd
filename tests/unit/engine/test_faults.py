"""Faults in the log: their kinds and places, never their texts, which may quote a record."""

from __future__ import annotations

import logging
import traceback

import pytest

from streams.engine.faults import Faults, without_text
from streams.engine.metrics import Metrics
from streams.engine.tuning import Tuning

NAME = "Hidden title"


def fails(title: str) -> None:
    try:
        raise KeyError(title)
    except KeyError as error:
        raise ValueError(f"no page {title}") from error


def test_the_log_of_a_fault_has_kinds_and_places_of_it_and_its_causes_and_no_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR), Faults(Metrics(), Tuning()).caught("testing"):
        fails(NAME)
    assert NAME not in caplog.text
    assert "A fault while testing" in caplog.text
    assert all(text in caplog.text for text in ("KeyError", "ValueError", "in fails"))


def test_a_context_that_was_suppressed_stays_so() -> None:
    try:
        try:
            raise KeyError(NAME)
        except KeyError:
            raise ValueError(NAME) from None
    except ValueError as error:
        shown = "".join(traceback.format_exception(without_text(error)))
    assert "KeyError" not in shown
    assert NAME not in shown
