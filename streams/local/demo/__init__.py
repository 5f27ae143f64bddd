"""The demo: an invented world of wikis, whose events are shaped as Wikimedia's are, and what writes them to Kafka.

Read on in the order of the data: samples.py, world.py (what happens), changes.py (one thing that happened), streams.py
(which streams it is in) and the events' shapes beside it, producer.py.
"""

from __future__ import annotations

from streams.local.demo.producer import DemoPlan, first_instant, run_demo

__all__ = ["DemoPlan", "first_instant", "run_demo"]
