"""Compares two EventStreams services event by event, for the move from one to the other.

Reading order: `shape.py` (the members of an event, without their values), `comparison.py` (what each service sent, and
how that differs), `reading.py` (reads both, as `streams.mirror` reads one), `report.py` (a table, or JSON).

Only `manage.py compare_services` uses this package.

Never imported here: Django, Daphne, Twisted, aiokafka.
"""
