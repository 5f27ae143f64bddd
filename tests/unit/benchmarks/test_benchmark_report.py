"""That what was measured is kept, compared and told as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import report, results

HERE = {"processor": "2 cores of Example"}


def rows(**figures: list[dict[str, float]]) -> dict[str, Any]:
    """Rows as the results file has them; `_` stands for the dashes of their names."""
    return {
        name.replace("_", "-"): {"date": "2026-08-01 12:00", "commit": "abc1234", "busy_percent": 3, "rounds": rounds}
        for name, rounds in figures.items()
    }


@pytest.fixture
def known() -> dict[str, Any]:
    live = {
        "per_cpu_s": 90_000.0,
        "latency_ms_p50": 9.0,
        "latency_ms_p99": 30.0,
        "kb_per_client": 15.5,
        "keeps_up": 1.0,
        "nchan per_cpu_s": 60_000.0,
        "nchan latency_ms_p99": 12.0,
        "times nchan": 1.5,
    }
    few = {**live, "per_cpu_s": 40_000.0, "latency_ms_p99": 12.5}
    measured = rows(live_50_30=[few], live_500_30=[live], history_1_sse=[{"per_cpu_s": 123_456.0}])
    return {"machine": HERE, "rows": measured}


def test_a_partial_run_replaces_its_own_rows_only(known: dict[str, Any]) -> None:
    again = rows(history_1_sse=[{"per_cpu_s": 1.0}])
    merged = results.merge(known, again, HERE)
    assert list(merged["rows"]) == ["live-50-30", "live-500-30", "history-1-sse"]
    assert merged["rows"]["history-1-sse"] == again["history-1-sse"]
    assert merged["rows"]["live-50-30"] == known["rows"]["live-50-30"]


def test_rows_of_another_machine_and_rows_that_are_no_more_are_dropped(known: dict[str, Any]) -> None:
    again = rows(history_1_sse=[{"per_cpu_s": 1.0}], no_such_row=[{"per_cpu_s": 1.0}])
    assert list(results.merge(known, again, {"processor": "64 cores"})["rows"]) == ["history-1-sse"]


def test_what_is_saved_is_what_is_loaded(known: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "results" / "results.json"
    assert results.load(file) == {"machine": {}, "rows": {}}
    results.save(known, file)
    assert results.load(file) == known


def test_only_what_got_more_than_a_little_worse_is_named() -> None:
    before = rows(live_50_30=[{"latency_ms_p99": 100.0, "keeps_up": 1.0}], history_1_sse=[{"per_cpu_s": 100_000.0}])
    little = rows(live_50_30=[{"latency_ms_p99": 114.0, "keeps_up": 0.9}], history_1_sse=[{"per_cpu_s": 86_000.0}])
    much = rows(live_50_30=[{"latency_ms_p99": 116.0, "keeps_up": 2.0}], history_1_sse=[{"per_cpu_s": 84_000.0}])
    assert results.worse(before, little) == []
    assert results.worse(before, much) == [
        "history-1-sse: events out per CPU s was 100,000 and is 84,000",
        "live-50-30: latency p99, ms was 100 and is 116",
    ]


def test_what_is_small_anyway_may_differ_from_run_to_run() -> None:
    drift = [{"kb_per_client": 15.0, "drift_kb_per_client": kb} for kb in (0.0, 0.4, 0.6)]
    none, little, much = (rows(memory_live=[one]) for one in drift)
    assert results.worse(none, little) == []
    assert len(results.worse(none, much)) == 1


def test_rows_that_were_never_committed_are_not_compared() -> None:
    assert results.worse({}, rows(history_1_sse=[{"per_cpu_s": 1.0}])) == []


def test_the_median_is_of_figures_that_all_rounds_have() -> None:
    rounds = [{"a": 1.0, "b": 5.0}, {"a": 9.0}, {"a": 2.0, "b": 6.0}]
    assert results.medians(rounds) == {"a": 2.0}


def test_tables_have_every_goal_and_every_peer(known: dict[str, Any]) -> None:
    texts = report.blocks(known)
    assert "| `live-500-30` | live, 500 clients, 30 events/s | latency p99, ms | 30 | ≤ 75 | met |" in texts["goals"]
    assert (
        "| `live-50-30` | live, 50 clients, 30 events/s | latency p99, ms | 12.5 | ≤ 10 | NOT MET |" in texts["goals"]
    )
    assert "| 500 | 30 | 90,000 | 60,000 | – | 30 | 12 | – | 15.5 | – | – |" in texts["peers"]
    assert "| live, 50 clients, 30 events/s | 40,000 | 4,100 | 9 ms, 12.5 ms | 15.5 kB |" in texts["speed"]
    assert "measured: 2026-08-01\n" in texts["machine"]
    assert "other work on it: 3 to 3 %" in texts["machine"]


def test_figures_of_a_busy_machine_are_called_preliminary(known: dict[str, Any]) -> None:
    assert "Preliminary" not in report.blocks(known)["speed"]
    known["rows"]["history-1-sse"]["busy_percent"] = 90
    for name in ("speed", "goals"):
        assert "other work took up to 90 % of the machine" in report.blocks(known)[name]


def test_a_page_gets_its_tables_and_keeps_all_else() -> None:
    page = "before\n<!-- goals: begin -->\nold\n<!-- goals: end -->\nafter\n"
    once = report.written(page, {"goals": "new"})
    assert once == "before\n<!-- goals: begin -->\n\nnew\n\n<!-- goals: end -->\nafter\n"
    assert report.written(once, {"goals": "new"}) == once


def test_plots_have_a_curve_for_each_server(known: dict[str, Any], tmp_path: Path) -> None:
    report.plot(known, tmp_path)
    for name in ("performance-cpu.svg", "performance-latency.svg"):
        texts = [
            element.text for element in ElementTree.parse(tmp_path / name).iter("{http://www.w3.org/2000/svg}text")
        ]
        assert {"30 events/s", "200 events/s", "EventStreams", "nchan"} <= set(texts)
        assert "django-eventstream" not in texts


@pytest.mark.parametrize("page", report.PAGES, ids=lambda page: page.name)
def test_what_the_documentation_shows_was_measured(page: Path) -> None:
    text = page.read_text()
    assert "<!-- speed: begin -->" in text or "<!-- goals: begin -->" in text
    assert report.written(text, report.blocks(results.load())) == text, "run python -m benchmarks.report"
