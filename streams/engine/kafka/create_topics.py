"""Topics are created by tests, the demo and test edits; the service itself never creates one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import LeaderNotAvailableError, NoError, TopicAlreadyExistsError, for_code


async def create_topics(
    bootstrap: str, topics: Mapping[str, int], config: Mapping[str, str] | None = None, **client: Any
) -> None:
    """Create topics, name to number of partitions, all with `config`; one that exists is left as it is.

    Returns when every partition has a leader. `client` has further arguments for aiokafka's client (TLS, SASL); a
    `bootstrap_servers` among them is not looked at. Raises aiokafka.errors.KafkaError.
    """
    new = [NewTopic(name, count, 1, topic_configs=dict(config or {})) for name, count in topics.items()]
    admin = AIOKafkaAdminClient(**{**client, "bootstrap_servers": bootstrap})
    await admin.start()
    try:
        for topic, code, message in (await admin.create_topics(new)).topic_errors:
            error = for_code(code)
            if error not in (NoError, TopicAlreadyExistsError):
                raise error(f"topic {topic}: {message}")
        for _ in range(200):
            described = await admin.describe_topics(list(topics))
            partitions = [partition for topic in described for partition in topic["partitions"]]
            if all(topic["partitions"] for topic in described) and all(part["leader"] >= 0 for part in partitions):
                return
            await asyncio.sleep(0.05)
        raise LeaderNotAvailableError(f"no leader yet for {', '.join(topics)}")
    finally:
        await admin.close()
