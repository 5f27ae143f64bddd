"""Topics of exposed streams that Kafka does not have: said once, when they have been missing for a moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from streams.admin.process import Running
from streams.admin.topic_facts import absent_topics

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
NAMED = 10
"""Maximum number of streams that a line of the log names."""

Missing = Mapping[str, tuple[str, ...]]


def missing_by_stream(process: Running | None) -> Missing:
    """Return the topics that Kafka does not have, by stream; empty where Kafka was not asked yet."""
    absent = absent_topics(process)
    if absent is None or process is None or process.catalogue is None:
        return {}
    found = {
        name: tuple(topic for topic in stream.topics if topic in absent)
        for name, stream in process.catalogue.streams.items()
    }
    return {name: topics for name, topics in found.items() if topics}


async def tell_forever(process: Callable[[], Running]) -> None:
    """Log what is missing when it has changed and two looks agree: Kafka is asked a moment after a new catalogue."""
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
    if not missing:
        logger.info("Kafka has all topics of the streams that are exposed")
        return
    named = [f"{name} ({', '.join(topics)})" for name, topics in list(missing.items())[:NAMED]]
    more = f" and {len(missing) - NAMED} more streams, which the admin names" if len(missing) > NAMED else ""
    logger.warning(
        "Kafka does not have some topics, of which no event is sent until somebody creates them: %s%s",
        ", ".join(named),
        more,
    )
