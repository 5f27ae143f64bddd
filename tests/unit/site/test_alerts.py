"""Prometheus's rules: each alert fires when it should, not before, and leads to a paragraph of the runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.around.prometheus import RULES, alerts, dashboard_queries, program
from tests.support.site import ROOT

HOLD = 120
"""Samples of a series, one each 30 s."""
HEALTHY = {
    "eventstreams_redacted_pages": f"5x{HOLD}",
    "eventstreams_kafka_up": f"1x{HOLD}",
    "eventstreams_hub_lag_records": f"3x{HOLD}",
    "eventstreams_hub_lag_seconds": f"0.2x{HOLD}",
    "eventstreams_hub_partitions_unread": f"0x{HOLD}",
    "eventstreams_kafka_held_records": f"9x{HOLD}",  # producers that use transactions
    "eventstreams_kafka_held_seconds": f"0.5x{HOLD}",
    "eventstreams_events_encoded_total": f"0+900x{HOLD}",
    'eventstreams_events_sent_total{format="sse"}': f"0+900x{HOLD}",
    'eventstreams_connected_clients{stream="a"}': f"1x{HOLD}",
    "eventstreams_redaction_list_read_timestamp_seconds": f"0+30x{HOLD}",
    "eventstreams_redaction_holds": f"0x{HOLD}",
    "eventstreams_redaction_missing_pages": f"0x{HOLD}",
    'eventstreams_stream_config_syncs_total{outcome="failed"}': f"0+1x{HOLD}",  # now and then, between good ones
    'eventstreams_stream_config_syncs_total{outcome="unchanged"}': f"0+1x{HOLD}",
    "eventstreams_stream_config_differs": f"0x{HOLD}",
    "eventstreams_stream_config_held": f"0x{HOLD}",
    "eventstreams_filter_events_examined_total": f"0+900x{HOLD}",
    "eventstreams_filter_events_matched_total": f"0+9x{HOLD}",
    'eventstreams_client_connections_total{streams="a"}': f"0+9x{HOLD}",
    "eventstreams_redis_up": f"1x{HOLD}",
    'eventstreams_worker_crash_loop{worker="0"}': f"0x{HOLD}",
    'eventstreams_worker_restarts_total{worker="0"}': f"2x{HOLD}",
    'eventstreams_errors_total{type="too_many_requests"}': f"0+1x{HOLD}",
    'eventstreams_errors_total{type="overloaded"}': f"7x{HOLD}",
    "eventstreams_feeds_refused_total": f"7x{HOLD}",
    "eventstreams_host_connections": f"70x{HOLD}",
    "eventstreams_max_connections": f"100x{HOLD}",
    'process_open_fds{worker="0"}': f"70x{HOLD}",
    'process_max_fds{worker="0"}': f"100x{HOLD}",
    "eventstreams_accept_failures_total": f"7x{HOLD}",
    "eventstreams_event_loop_lag_seconds": f"0.3x{HOLD}",
    'eventstreams_faults_total{place="reading"}': f"7x{HOLD}",
    "eventstreams_log_lines_dropped_total": f"7x{HOLD}",
}
SINCE = 40
"""From this sample on, at 20 minutes, something is wrong."""
_BAD_GAUGE = f"0x{SINCE - 1} {{}}x{HOLD}"
_GROWS = f"7x{SINCE - 1} 7+60x{HOLD}"
# Alert → what differs from a healthy server: a metric and the value that it takes (or that it grows, or stands still).
WRONG: dict[str, list[dict[str, str]]] = {
    "EventStreamsMissing": [dict.fromkeys(HEALTHY, f"5x{SINCE - 1}")],
    "EventStreamsDeliversNothing": [
        {'eventstreams_events_sent_total{format="sse"}': f"0+900x{SINCE} {900 * SINCE}x{HOLD}"},
    ],
    "EventStreamsKafkaAway": [{"eventstreams_kafka_up": f"1x{SINCE - 1} 0x{HOLD}"}],
    "EventStreamsPartitionStandsStill": [
        {"eventstreams_hub_partitions_unread": _BAD_GAUGE.format(1)},
    ],
    "EventStreamsReplicasDiffer": [{"eventstreams_stream_config_differs": _BAD_GAUGE.format(1)}],
    "EventStreamsPartitionHeld": [{"eventstreams_kafka_held_seconds": _BAD_GAUGE.format(301)}],
    "EventStreamsLag": [
        {"eventstreams_hub_lag_records": _BAD_GAUGE.format(6000)},
        {"eventstreams_hub_lag_seconds": _BAD_GAUGE.format(61)},
    ],
    "EventStreamsRedactionListStale": [
        {"eventstreams_redaction_list_read_timestamp_seconds": f"0+30x{SINCE} {30 * SINCE}x{HOLD}"},
    ],
    "EventStreamsRedactionListHeld": [{"eventstreams_redaction_holds": _BAD_GAUGE.format(1)}],
    "EventStreamsRedactionListTooShort": [{"eventstreams_redaction_missing_pages": _BAD_GAUGE.format(1)}],
    "EventStreamsSyncFailing": [
        {'eventstreams_stream_config_syncs_total{outcome="unchanged"}': f"0+1x{SINCE} {SINCE}x{HOLD}"},
    ],
    "EventStreamsSyncHeld": [{"eventstreams_stream_config_held": _BAD_GAUGE.format(1)}],
    "EventStreamsCrashLoop": [{'eventstreams_worker_crash_loop{worker="0"}': _BAD_GAUGE.format(1)}],
    "EventStreamsWorkerRestarts": [
        {'eventstreams_worker_restarts_total{worker="0"}': f"2x{SINCE - 1} 2+1x{HOLD}"},
    ],
    "EventStreamsTooManyRequests": [
        {'eventstreams_errors_total{type="too_many_requests"}': _GROWS},
        {  # no stream could be opened yet
            'eventstreams_errors_total{type="too_many_requests"}': _GROWS,
            'eventstreams_client_connections_total{streams="a"}': "_",
        },
    ],
    "EventStreamsOverloaded": [
        {'eventstreams_errors_total{type="overloaded"}': _GROWS},
        {"eventstreams_feeds_refused_total": _GROWS},
    ],
    "EventStreamsRedisAway": [{"eventstreams_redis_up": f"1x{SINCE - 1} 0x{HOLD}"}],
    "EventStreamsNearConnectionLimit": [{"eventstreams_host_connections": f"70x{SINCE - 1} 81x{HOLD}"}],
    "EventStreamsDescriptors": [{'process_open_fds{worker="0"}': f"70x{SINCE - 1} 81x{HOLD}"}],
    "EventStreamsCannotAccept": [{"eventstreams_accept_failures_total": _GROWS}],
    "EventStreamsEventLoopLate": [{"eventstreams_event_loop_lag_seconds": f"0.3x{SINCE - 1} 0.6x{HOLD}"}],
    "EventStreamsFaults": [{'eventstreams_faults_total{place="reading"}': _GROWS}],
    "EventStreamsLogLost": [{"eventstreams_log_lines_dropped_total": _GROWS}],
}
# What is ordinary, for the whole hour or for a while: a metric and its values. No alert fires at any time.
ORDINARY: dict[str, dict[str, str]] = {
    "a rolling deployment, Kafka's brokers too": {
        "eventstreams_kafka_up": f"1x{SINCE} 0 1x{HOLD}",
        "eventstreams_hub_partitions_unread": f"0x{SINCE} 3x2 0x{HOLD}",
        "eventstreams_hub_lag_records": f"0x{SINCE} 12000x6 0x{HOLD}",
        "eventstreams_hub_lag_seconds": f"0x{SINCE} 90x6 0x{HOLD}",
        "eventstreams_redaction_list_read_timestamp_seconds": f"0+30x{SINCE} 1200x1 1290+30x{HOLD}",
        "eventstreams_stream_config_differs": f"0x{SINCE} 1x2 0x{HOLD}",
        'eventstreams_stream_config_syncs_total{outcome="failed"}': f"0x{SINCE} 0+3x8 24x{HOLD}",
        'eventstreams_errors_total{type="overloaded"}': f"0x{SINCE} 0+100x3 300x{HOLD}",
        'eventstreams_errors_total{type="too_many_requests"}': f"0x{SINCE} 0+90x10 900x{HOLD}",
        "eventstreams_host_connections": f"5000x{SINCE} 8500x8 5000x{HOLD}",
        "eventstreams_max_connections": f"10000x{HOLD}",
        "eventstreams_redis_up": f"1x{SINCE} 0x4 1x{HOLD}",
        "eventstreams_event_loop_lag_seconds": f"0.1x{SINCE} 2x3 0.1x{HOLD}",
        'eventstreams_faults_total{place="reading"}': f"7x{SINCE} 8x{HOLD}",
        'eventstreams_worker_restarts_total{worker="0"}': f"0x{SINCE} 3x{HOLD}",
    },
    "10,000 clients at 200 events/s, one of which is greedy": {
        "eventstreams_hub_lag_records": f"200x{HOLD}",
        "eventstreams_kafka_held_records": f"300x{HOLD}",
        "eventstreams_event_loop_lag_seconds": f"0.45x{HOLD}",
        "eventstreams_host_connections": f"7900x{HOLD}",
        "eventstreams_max_connections": f"10000x{HOLD}",
        'process_open_fds{worker="0"}': f"7950x{HOLD}",
        'process_max_fds{worker="0"}': f"10240x{HOLD}",
        'eventstreams_client_connections_total{streams="a"}': f"0+333x{HOLD}",  # 11 a second
        'eventstreams_errors_total{type="too_many_requests"}': f"0+90x{HOLD}",  # 3 a second
    },
    "one client, whose filter matches nothing": {
        'eventstreams_events_sent_total{format="sse"}': f"0x{HOLD}",
        "eventstreams_filter_events_matched_total": f"0x{HOLD}",
    },
}
# A silent source of good samples takes a while until it counts: 5 minutes of a rate.
LATER = {
    "EventStreamsMissing": 5,
    "EventStreamsDeliversNothing": 5,
    "EventStreamsRedactionListStale": 1,
    "EventStreamsSyncFailing": 5,
    "EventStreamsTooManyRequests": 3,
}


def named(name: str) -> str:
    """A series with the labels that Prometheus adds."""
    metric, _, labels = name.partition("{")
    return f'{metric}{{job="eventstreams",instance="a"{"," if labels else ""}{labels or "}"}'


def case(changes: dict[str, str], checks: list[dict[str, Any]]) -> dict[str, Any]:
    series = [{"series": named(name), "values": values} for name, values in (HEALTHY | changes).items()]
    return {"interval": "30s", "input_series": series, "alert_rule_test": checks}


def fired(alert: dict[str, Any]) -> list[dict[str, Any]]:
    labels = {"severity": alert["labels"]["severity"]}
    if alert["alert"] != "EventStreamsMissing":
        labels |= {"job": "eventstreams", "instance": "a"}
    if alert["alert"] == "EventStreamsDescriptors":
        labels["worker"] = "0"
    return [{"exp_labels": labels, "exp_annotations": alert["annotations"]}]


def promtool(*arguments: str) -> None:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def check(folder: Path, cases: list[dict[str, Any]]) -> None:
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": cases}))
    promtool("test", "rules", str(file))


def test_each_alert_fires_when_something_is_wrong_and_none_while_all_is_well(tmp_path: Path) -> None:
    promtool("check", "rules", str(RULES))
    assert {each["alert"] for each in alerts()} == WRONG.keys()
    well = [{"alertname": each["alert"], "eval_time": "45m", "exp_alerts": []} for each in alerts()]
    cases = [case({}, well)]
    for alert in alerts():
        name = alert["alert"]
        minutes = int(alert["for"].removesuffix("m"))
        begin = 20
        if name == "EventStreamsWorkerRestarts":
            minutes = 1  # the time that more than 3 restarts take
        at = begin + minutes + LATER.get(name, 0) + 1
        for changes in WRONG[name]:
            # Not while it has been so for less than `for`.
            early = [{"alertname": name, "eval_time": f"{begin + minutes - 1}m", "exp_alerts": []}] if minutes else []
            cases.append(
                case(changes, [*early, {"alertname": name, "eval_time": f"{at}m", "exp_alerts": fired(alert)}])
            )
    check(tmp_path, cases)


def test_none_fires_in_ordinary_trouble(tmp_path: Path) -> None:
    times = [f"{minute}m" for minute in range(18, 40)]
    never = [{"alertname": each["alert"], "eval_time": time, "exp_alerts": []} for each in alerts() for time in times]
    check(tmp_path, [case(changes, never) for changes in ORDINARY.values()])


def test_each_alert_has_a_comment_that_says_why_it_has_its_figures() -> None:
    lines = RULES.read_text().splitlines()
    assert all(
        lines[n - 1].startswith("      # ") for n, line in enumerate(lines) if line.startswith("      - alert: ")
    )


def test_each_alert_leads_to_its_paragraph() -> None:
    titles = re.findall(r"^### (.+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    anchors = {"docs/operations.md#" + re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in titles}
    assert not {each["annotations"]["runbook_url"] for each in alerts()} - anchors


def test_the_queries_of_the_dashboard_are_queries(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": query} for n, query in enumerate(dashboard_queries())]
    assert len(rules) > 20
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))
