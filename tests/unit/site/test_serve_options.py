"""What `serve` refuses before it starts anything."""

from __future__ import annotations

import pytest
from django.core.management.base import CommandError

from streams.management.commands.serve import MAX_WORKERS, checked


@pytest.mark.parametrize("workers", [-1, 0, MAX_WORKERS + 1, 100_000])
def test_a_number_of_workers_that_no_machine_bears_is_refused(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///:memory:")
    # Next after the number: with an impossible file, nothing is started where the number is taken.
    monkeypatch.setenv("EVENTSTREAMS_CONFIG", "/does/not/exist.yaml")
    with pytest.raises(CommandError, match=f"--workers is {workers}; use 1 to {MAX_WORKERS}"):
        checked({"workers": workers, "ops_port": None})
