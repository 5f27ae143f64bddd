"""Nanoseconds that redaction costs one event, beside what it may cost: prints JSON.

Watches the hot path: redaction runs once for every record that any client may get. An empty list should cost nothing.

Run from the repository: ``python -m benchmarks.redact``
"""

from __future__ import annotations

import json
import time

import msgspec

from redaction.redactor import Redactor
from streams.core.events import Fields

ROUNDS = 7
EVENTS_PER_ROUND = 20_000
TITLES = 1_200
GOALS = {"unlisted_domain": 300, "other_page_of_listed_domain": 1_500}
"""Maximum ns for an event of a domain that is not listed, and of another page of one that is, on a machine where
`benchmarks.hotpath` gives 0.27 yardsticks or fewer for `encode`."""

_decode = msgspec.json.Decoder(Fields).decode


def _page_change(domain: str, title: str) -> bytes:
    editor = {"user_id": 123, "user_text": "Example", "groups": ["*", "user", "autoconfirmed"], "is_bot": False}
    event = {
        "$schema": "/mediawiki/page/change/1.2.0",
        "meta": {
            "stream": "mediawiki.page_change.v1",
            "domain": domain,
            "uri": f"https://{domain}/wiki/{title}",
            "dt": "2025-01-01T00:00:00.000Z",
        },
        "changelog_kind": "update",
        "comment": "/* Section */ a change",
        "page": {"page_id": 1, "page_title": title, "namespace_id": 0, "is_redirect": False},
        "page_change_kind": "edit",
        "performer": editor,
        "prior_state": {"revision": {"rev_id": 1, "rev_size": 100, "comment": "", "editor": editor}},
        "revision": {"rev_id": 2, "rev_parent_id": 1, "rev_size": 101, "comment": "a change", "editor": editor},
        "wiki_id": "ruwiki",
    }
    return json.dumps(event, ensure_ascii=False).encode()


def _ns_per_event(redactor: Redactor, *values: bytes) -> int:
    """The fastest of the rounds, without the copy that keeps each event fresh; `meta` is decoded beforehand."""
    events = [_decode(value) for value in values] * (EVENTS_PER_ROUND // len(values))
    metas = [_decode(event["meta"]) for event in events]
    copying = redacting = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for event, _meta in zip(events, metas, strict=True):
            event.copy()
        copied = time.perf_counter_ns()
        for event, meta in zip(events, metas, strict=True):
            redactor.redact(event.copy(), meta)
        copying = min(copying, copied - start)
        redacting = min(redacting, time.perf_counter_ns() - copied)
    return round((redacting - copying) / len(events))


def main() -> None:
    """Measure and print."""
    titles = [f"{number}-я отдельная бригада (Российская Федерация)" for number in range(TITLES)]
    redactor = Redactor({"ru.wikipedia.org": titles})
    other = _page_change("ru.wikipedia.org", "Список_станций_метрополитена")
    # More than the titles that the redactor remembers; each is as if no other stream had had this page before.
    unseen = [_page_change("ru.wikipedia.org", f"Список_станций_метро_({number})") for number in range(10_000)]
    results = {
        "empty_list": _ns_per_event(Redactor({}), other),
        "unlisted_domain": _ns_per_event(redactor, _page_change("en.wikipedia.org", "List_of_stations")),
        "other_page_of_listed_domain": _ns_per_event(redactor, other),
        "other_page_not_seen_lately": _ns_per_event(redactor, *unseen),
        "listed_page": _ns_per_event(redactor, _page_change("ru.wikipedia.org", titles[-1].replace(" ", "_"))),
    }
    print(json.dumps({"benchmark": "redact", "titles": TITLES, "ns_per_event": results, "goal_ns": GOALS}))


if __name__ == "__main__":
    main()
