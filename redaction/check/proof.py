"""What a test of a redaction proves. With a title that no real event has, it proves only that the list works.

Pure: no Django, no asyncio, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from redaction.check.findings import Proof, instant
from redaction.check.page_filter import PageFilter
from redaction.entries.evidence import Evidence, judge
from redaction.entries.titles import Page
from redaction.marking import is_test_edit
from streams.core.positions import TopicPartition
from streams.engine.source import Bounds, Found


class Proofs:
    """Looks at every event of a check except test edits. Without a title, only a real event of the revision counts."""

    def __init__(self, domain: str, title: str, rev_id: int | None) -> None:
        self._page = Page(domain, title)
        self._any_revision = PageFilter(domain, title, None) if title and rev_id is not None else None
        self._is_real = False
        """Whether a real event has the title, of whatever revision."""
        self._seen = Evidence("the time window has no real event")

    def take(self, event: bytes, is_of_page: bool) -> None:
        """Look at an event. `is_of_page`: it is one of those that the check is about."""
        if is_test_edit(event):
            return
        self._seen.take((event,))
        if not self._is_real:
            others = self._any_revision
            self._is_real = is_of_page or (others is not None and others.matches(event))

    def conclude(self, has_clean: bool) -> tuple[Proof, tuple[str, ...]]:
        """Return what clean events prove, if there are any, and why the title may be wrong, if no real event has it."""
        if self._is_real:
            return (Proof.REAL if has_clean else Proof.NONE), ()
        page = self._page
        doubt = judge(page, self._seen) if page.title else None
        doubts = doubt.sentences if doubt is not None else ()
        if not has_clean:
            return Proof.NONE, doubts
        return (Proof.NAMESPACE if page.title and self._seen.confirms(page) else Proof.LIST), doubts


def held_from(bounds: Mapping[TopicPartition, Bounds], found: Mapping[TopicPartition, Found]) -> str:
    """Return the time at which what Kafka holds begins (ISO 8601), "" if it holds the whole window.

    `found` has the first record of each partition in the window. A log that begins above offset 0 has lost records; one
    that begins at 0 lacks nothing, unless all of them begin inside the window.
    """
    at_begin = {tp: first for tp, first in found.items() if first.offset == bounds[tp].begin}
    lost = [first.timestamp for tp, first in at_begin.items() if bounds[tp].begin > 0]
    if lost:
        return instant(max(lost))
    filled = [tp for tp, bound in bounds.items() if bound.end > bound.begin]
    if filled and all(tp in at_begin for tp in filled):
        return instant(min(first.timestamp for first in at_begin.values()))
    return ""
