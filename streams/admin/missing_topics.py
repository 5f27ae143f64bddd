"""Topics of exposed streams that Kafka does not have: logged once, when two checks agree."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from streams.admin.process import Running
from streams.admin.topic_facts import absent_topics

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Seconds between two checks."""
NAMED = 10
"""Maximum number of streams named in one line of the log."""

Missing = Mapping[str, tuple[str, ...]]


def missing_by_stream(process: Running | None) -> Missing:
    """Return the topics that Kafka does not have, by stream; empty before Kafka was asked."""
    absent = absent_topics(process)
    if absent is None or process is None or process.catalogue is None:
        return {}
    found = {
        name: tuple(topic for topic in stream.topics if topic in absent)
        for name, stream in process.catalogue.streams.items()
    }
    return {name: topics for name, topics in found.items() if topics}


async def tell_forever(process: Callable[[], Running]) -> None:
    """Check forever, and log each change that two checks confirm: Kafka is asked a moment after a new catalogue."""
    said: Missing = {}
    before: Missing = {}
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = missing_by_stream(process())
        if now == before and now != said:
            tell(now)
            said = now
        before = now


def tell(missing: Missing) -> None:
    """Log which topics are missing."""
    if not missing:
        logger.info("Kafka has all topics of the exposed streams")
        return
    named = [f"{name} ({', '.join(topics)})" for name, topics in list(missing.items())[:NAMED]]
    more = f" and {len(missing) - NAMED} more streams (see the admin)" if len(missing) > NAMED else ""
    logger.warning(
        "Topics missing from Kafka; no events of them are sent until they are created: %s%s",
        ", ".join(named),
        more,
    )
