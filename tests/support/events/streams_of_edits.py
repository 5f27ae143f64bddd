"""A service with the streams that carry an edit, on its own topics, and with one listed page."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redaction.check.produced_edit import SHAPES, Edit
from streams.engine.kafka.create_topics import create_topics
from tests.integration.kit import Broker, Rec
from tests.support.site import SERVE, Site

DOMAIN = "ru.wikipedia.org"
TITLE = "Участник:HTriedman (WMF)/redacted page test"
UNLISTED = "Участник:HTriedman (WMF)/another page"

BROKEN = ("-m", "tests.support.broken.unredacted")
"""The command of a server whose redactor forgets some keys."""

_SCHEMAS = {
    "mediawiki.recentchange": "mediawiki/recentchange",
    "mediawiki.page_change.v1": "mediawiki/page/change",
    "mediawiki.revision-create": "mediawiki/revision/create",
    "mediawiki.page_revert_risk_prediction_change.v1": "mediawiki/page/prediction_classification_change",
    "mediawiki.page-links-change": "mediawiki/page/links-change",
}
STREAMS_OF_EDITS = tuple(_SCHEMAS)
NOT_OF_EDITS = "mediawiki.page-create"


class EditSite(Site):
    bootstrap: str
    topics: dict[str, str]
    """By stream."""

    def write_real_edit(self, title: str, rev_id: int | None = None) -> None:
        """As MediaWiki does: without the mark by which test edits are known."""
        edit = Edit.of(DOMAIN, title, int(time.time() * 1000), rev_id)

        async def write() -> None:
            broker = Broker(self.bootstrap)
            for name, schema in _SCHEMAS.items():
                event = SHAPES[schema](edit, name)
                event["meta"]["request_id"] = str(uuid.uuid4())
                for place, key in (
                    (event, "namespace"),
                    (event, "page_namespace"),
                    (event.get("page"), "namespace_id"),
                ):
                    if place and key in place:
                        place[key] = 2 if title.startswith("Участник:") else 0
                await broker.send(self.topics[name], Rec(event))

        _run(write())


@contextmanager
def edit_site(
    kafka: Any, folder: Path, *, command: Sequence[str] = SERVE, listed: Sequence[str] = (TITLE,), **settings: Any
) -> Iterator[EditSite]:
    """Not started yet. `listed` are the pages that its configuration file names."""
    prefix = uuid.uuid4().hex[:8]
    schemas = {**_SCHEMAS, NOT_OF_EDITS: "mediawiki/revision/create"}
    streams = {name: {"topics": [f"{prefix}.{name}"], "schema_title": schema} for name, schema in schemas.items()}
    topics = [f"{prefix}.{name}" for name in streams]
    _run(create_topics(kafka.bootstrap, dict.fromkeys(topics, 1)))
    pages = {DOMAIN: list(listed)} if listed else {}
    site = EditSite(folder, kafka.bootstrap, streams, command=command, mediawiki_redacted_pages=pages, **settings)
    site.bootstrap, site.topics = kafka.bootstrap, {name: f"{prefix}.{name}" for name in _SCHEMAS}
    try:
        yield site
    finally:
        site.close()
        if kafka.lasting:
            _run(Broker(kafka.bootstrap).drop(topics))


def _run(coroutine: Any) -> None:
    with ThreadPoolExecutor(max_workers=1) as thread:  # a second event loop: the test may have one running
        thread.submit(asyncio.run, coroutine).result()
