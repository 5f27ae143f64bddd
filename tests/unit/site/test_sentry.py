"""A Sentry that cannot be reached is a problem, until it takes faults again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sentry_sdk

from eventstreams_site.telemetry import sentry as module
from eventstreams_site.telemetry.sentry import Sentry

pytestmark = pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated")


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    before = sentry_sdk.get_global_scope().client
    yield Sentry("http://key@127.0.0.1:1/1")
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(before)


def answers(status: int) -> None:
    transport: Any = sentry_sdk.get_client().transport
    transport._handle_response(SimpleNamespace(status=status, headers={}, data=b""), None)


def test_a_sentry_that_takes_a_fault_again_is_no_problem_any_longer(sentry: Sentry) -> None:
    assert sentry.problem == ""
    answers(503)
    assert sentry.problem.startswith("faults cannot be sent to Sentry (status_503)")
    answers(200)
    assert (sentry.problem, sentry.lost) == ("", 1)


def test_a_fault_that_was_lost_long_ago_is_no_problem_of_now(sentry: Sentry, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(503)
    later = time.monotonic() + module.PROBLEM_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert sentry.problem == ""
