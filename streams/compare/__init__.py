"""Compares two EventStreams services event by event, for the move from one to the other.

Reading order: `shape.py` (what an event looks like, without what it says), `comparison.py` (what each service sent, and
how that differs), `reading.py` (reads both, as `streams.mirror` reads one), `report.py` (a table, or JSON).

Only `manage.py compare_services` uses it.
"""
