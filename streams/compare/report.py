"""The report as a table for people."""

from __future__ import annotations

from typing import Any

_ROWS = (
    ("only A has", "only_a"),
    ("only B has", "only_b"),
    ("A repeats", "repeated_a"),
    ("B repeats", "repeated_b"),
    ("A has out of order", "out_of_order_a"),
    ("B has out of order", "out_of_order_b"),
    ("A has, and they cannot be read", "unreadable_a"),
    ("B has, and they cannot be read", "unreadable_b"),
)


def table(report: dict[str, Any]) -> str:
    """Return the report as lines of text."""
    events, lag = report["events"], report["b_after_a_ms"]
    lines = [f"events: {events['a']} of A, {events['b']} of B, {events['both']} of both"]
    for title, key in _ROWS:
        found = report[key]
        lines.append(f"{title:32}{found['count']:8}")
        lines += [f"    {place['topic']} {place['partition']} {place['offset']}" for place in found.get("first", ())]
    shapes = report["shapes"]
    lines.append(f"{'redacted or shaped differently':32}{shapes['count']:8}")
    lines += [
        f"    {each['path']}: {each['a']} in A, {each['b']} in B ({each['events']} events)"
        for each in shapes["members"]
    ]
    if lag:
        lines.append(f"B after A, ms: p50 {lag['p50']}, p99 {lag['p99']} (below 0: B is first)")
    lines.append(f"reconnects: {report['reconnects']['a']} of A, {report['reconnects']['b']} of B")
    ends = {False: "There are differences.", True: "No difference."}
    lines.append(ends[report["equal"]] if report["compared"] else "Nothing was compared.")
    return "\n".join(lines)
