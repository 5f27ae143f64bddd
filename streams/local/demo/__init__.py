"""The demo: an invented world of wikis, whose events have the shape of Wikimedia's, and a producer for Kafka.

Reading order, the way of the data: `samples.py`, `world.py` (what happens), `changes.py` (one change), `streams.py`
(the streams that have it), `page_change.py`, `recentchange.py` and `revision_events.py` (events), `producer.py` (into
Kafka), `in_memory.py` (the same without Kafka).

Never imported here: Django, Daphne, Twisted, `redaction`.
"""

from __future__ import annotations

from streams.local.demo.producer import DemoPlan, first_instant, run_demo

__all__ = ["DemoPlan", "first_instant", "run_demo"]
