"""That the benchmarks still run against the code that they measure; what they measure is left to them."""

from __future__ import annotations

import json

import pytest

from benchmarks import hotpath, rig, run


async def test_the_hot_path_is_timed_step_by_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hotpath, "EVENTS", 40)
    monkeypatch.setattr(hotpath, "ROUNDS", 2)
    await hotpath.main()
    result = json.loads(capsys.readouterr().out)
    assert set(result["us_per_event"]) == {"encode", "id", "frame", "merge_sse", "merge_ndjson"}
    assert all(microseconds > 0 for microseconds in result["us_per_event"].values())


def test_a_machine_without_go_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(rig.BenchmarkError, match="need Go"):
        rig.build_ssebench(rig.ROOT)


def test_the_table_has_a_line_for_each_case_and_the_median_of_its_rounds() -> None:
    rounds = [{"per_cpu_s": rate, "latency_ms_p50": 1.0} for rate in (1000.0, 3000.0, 2000.0)]
    row = run.Row("live, 50 clients", "4,100", run.medians(rounds), rounds)
    _, line = run.table([row]).splitlines()
    assert line.split() == ["live,", "50", "clients", "2,000", "4,100", "1.0"]
