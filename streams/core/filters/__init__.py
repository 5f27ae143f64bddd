"""Filters: which events of the requested streams a client wants.

Reading order: `query` (the request's parameters become a `Filter`), `where` (conditions on any field), `fields` (what
filters look at in an event, decoded at most once for all of them), `filter` (whether an event matches), `index` (which
of many filters an event can match at all).

A filter sees an event as it is sent, after redaction: it can never reveal what redaction removed.
Source: wire contract, "Choosing events".

Never imported here: Django, asyncio, time, `streams.engine`, `redaction`.
"""

from __future__ import annotations

from streams.core.filters.filter import NO_FILTER, Filter
from streams.core.filters.index import FieldsInUse, FilterIndex
from streams.core.filters.query import parse_filter, shortened

__all__ = ["NO_FILTER", "FieldsInUse", "Filter", "FilterIndex", "parse_filter", "shortened"]
