"""Dependencies that accept and never answer: probes are answered at once, no worker is held up, and a stop is short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streams.core.positions import TopicPartition
from tests.support import SLACK_SECONDS
from tests.support.around.config_server import ConfigServer, document, silence
from tests.support.around.postgres import Postgres
from tests.support.around.redis import RedisServer
from tests.support.around.tcp_proxy import tcp_proxy
from tests.support.client.reading import SSE, Crowd
from tests.support.kafka.writing import writer
from tests.support.site import Site
from tests.support.site.serving import PATH, workers_of
from tests.support.site.supervised import Ops, supervised

DRAIN_SECONDS = 1.0
STOP_SECONDS = DRAIN_SECONDS + 3.0
PROBE_SECONDS = 2.0
"""Maximum seconds of a probe on a busy machine; one that waited for a dependency would take longer."""
PROBES = 15


async def probes_are_answered(site: Site, ops: Ops, what: str) -> None:
    """For some seconds, both ports answer at once, whichever worker is asked."""
    for _ in range(PROBES):
        began = time.monotonic()
        status, _, _ = await asyncio.to_thread(site.get, "/healthz")
        answer = await ops.get("/healthz")
        assert (status, answer.status_code) == (200, 200), what
        await asyncio.to_thread(site.get, "/readyz")
        await asyncio.to_thread(site.get, "/metrics")
        assert time.monotonic() - began < PROBE_SECONDS + SLACK_SECONDS, what
        await asyncio.sleep(0.2)


@pytest.mark.slow
async def test_no_probe_worker_or_stop_waits_for_what_never_answers(
    own_kafka: Any, postgres: Postgres, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(tcp_proxy(postgres.port))
        source = stack.enter_context(ConfigServer())
        source.answer = document({"test": {"topics": ["test"]}})
        redis = RedisServer(tmp_path)
        redis.start()
        stack.callback(redis.close)
        settings: dict[str, Any] = {
            "stream_config_uri": source.url,
            "stream_config_ttl": 1,
            "redis_url": redis.url,
            "client_ip_connection_limit": 100,
            "database": postgres.create_database(port=database.port),
            "drain_seconds": DRAIN_SECONDS,
        }

        def hang(name: str) -> Callable[[], None]:
            if name == "database":
                database.swallows = True
                return lambda: setattr(database, "swallows", False)
            if name == "source":
                good, source.answer = source.answer, silence
                return lambda: setattr(source, "answer", good)
            paused = redis if name == "redis" else own_kafka
            paused.pause()
            return paused.resume  # type: ignore[no-any-return]

        async with writer(own_kafka.bootstrap) as to:
            tp = TopicPartition("test", 0)
            await to.write(tp, [None])
            async with supervised(tmp_path, own_kafka.bootstrap, "test", **settings) as (site, ops), Crowd() as crowd:
                workers = workers_of(site)
                follower = await crowd.connect(site.port, PATH, SSE)
                for name in ("database", "source", "redis"):
                    heal = hang(name)
                    stack.callback(heal)
                    await probes_are_answered(site, ops, name)
                    await to.write(tp, [None])
                    await follower.has({tp: to.held[tp][-1][0]}, 10)
                    newcomer = await crowd.connect(site.port, PATH, SSE)
                    await newcomer.leave()
                    heal()
                for name in ("kafka", "database", "source", "redis"):  # and now all of them
                    stack.callback(hang(name))
                await probes_are_answered(site, ops, "all")
                assert workers_of(site) == workers, "no worker was taken for one that hangs"
                began = time.monotonic()
                await asyncio.to_thread(site.stop)
                assert time.monotonic() - began < STOP_SECONDS + SLACK_SECONDS
                own_kafka.resume()
