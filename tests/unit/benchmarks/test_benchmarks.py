"""That the benchmarks still run against the code that they measure; what they measure is left to them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks import goals, results, rig, run, scaling
from benchmarks.rows import ROWS


def test_a_machine_without_go_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(rig.BenchmarkError, match="need Go"):
        rig.build_ssebench(rig.ROOT)


def test_every_row_says_what_it_watches_and_has_goals() -> None:
    listed = run.listing()
    for name, row in ROWS.items():
        assert f"{name}: {row.what}\n" in listed
        assert row.watches in listed
        assert row.goals


def test_the_rows_of_a_pattern_are_chosen_and_a_wrong_name_is_told() -> None:
    assert [row.name for row in run.chosen(["storm*"])] == ["storm", "storm-restart"]
    assert len(run.chosen([])) == len(ROWS)
    with pytest.raises(rig.BenchmarkError, match="no row live-51"):
        run.chosen(["live-51"])


def test_a_line_of_the_table_has_the_goal_beside_the_median_of_the_rounds() -> None:
    rounds = [{"first_byte_ms_p50": ms} for ms in (1.0, 3.0, 2.5)]
    [line] = goals.lines(ROWS["connect-warm"], results.medians(rounds))
    assert line[2:] == ("first byte p50, ms", "2.50", "≤ 2", "NOT MET")


def test_a_figure_that_was_not_measured_is_not_judged() -> None:
    [line, *_] = goals.lines(ROWS["live-500-30"], {"latency_ms_p99": 20.0})
    assert line[3:] == ("–", "≥ 1.30", "not measured")


async def test_a_round_that_fails_is_told_of_and_the_others_count(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes: list[goals.Figures | Exception] = [{"a": 1.0}, rig.BenchmarkError("no server"), {"a": 3.0}]

    async def once(bench: goals.Bench) -> goals.Figures:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    bench = cast(goals.Bench, SimpleNamespace(options=goals.Options()))
    assert await run.measure(bench, goals.Row("example", "an example", once), 3) == [{"a": 1.0}, {"a": 3.0}]
    assert "example, round 2, failed: BenchmarkError: no server" in capsys.readouterr().err


def test_combinations_are_distinct_and_of_four_streams_on_average() -> None:
    every = scaling.subscriptions()
    assert len(set(every)) == len(every) == scaling.SUBSCRIPTIONS
    assert sum(map(len, every)) == 4 * scaling.SUBSCRIPTIONS
