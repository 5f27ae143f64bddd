"""The alerts and the dashboard beside a real server: it has the metrics that they name, and an alert really fires."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry

from streams.core import errors
from streams.engine.metrics import Metrics
from streams.local.processes import HOST, free_port, last_lines, spawn, terminate
from streams.models import SyncRun
from tests.support.around.prometheus import RULES, alerts, dashboard_queries, metrics_of, program
from tests.support.around.redis import RedisServer
from tests.support.site import Site
from tests.support.site.supervised import supervised

# What a sample of each label may be: of those that a rule names.
VALUES = {
    "outcome": set(SyncRun.Outcome.values),
    "type": {each.type for each in vars(errors).values() if hasattr(each, "type")},
}


def labels_of(registry: CollectorRegistry) -> dict[str, set[str]]:
    """The labels of each metric, by its name in the text format; metrics without a sample have them too."""
    found: dict[str, set[str]] = {}
    for collector, names in registry._collector_to_names.items():
        if hasattr(collector, "_labelnames"):
            found |= {name: set(collector._labelnames) for name in names}
        else:
            found |= {f"{each.name}_total": set(getattr(each, "_labelnames", ())) for each in collector.collect()}
    return found


async def test_every_metric_and_label_that_is_asked_for_exists(
    kafka: Any, topic: str, redis: RedisServer, tmp_path: Path
) -> None:
    async with supervised(tmp_path, kafka.bootstrap, topic, workers=1, redis_url=redis.url) as (_, ops):
        text = (await ops.get("/metrics")).text
    families = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert len(families) > 40
    labels = labels_of(Metrics().registry)
    queries = [each["expr"] for each in alerts()] + dashboard_queries()
    asked = {name for query in queries for name in metrics_of(query)}
    assert asked
    missing = asked - families.keys()
    assert not missing, "no server has these metrics"
    for query in queries:
        for name, matchers in metrics_of(query).items():
            for label, wanted in matchers.items():
                if label in ("job", "instance"):
                    continue
                assert label in labels.get(name, ()), f"{name} has no label {label}"
                assert set(wanted.split("|")) <= VALUES[label], f"{name} is never {wanted}"
        for by in re.findall(r"by \(([^)]*)\)", query):
            names = set(by.replace(" ", "").split(",")) - {"job", "instance"}
            assert all(names <= labels.get(name, set()) for name in metrics_of(query)), query


@pytest.mark.slow
async def test_a_real_prometheus_fires_when_the_kafka_of_a_real_server_is_away(tmp_path: Path) -> None:
    site = Site(tmp_path, f"{HOST}:{free_port()}", {"test": {"topics": ["test.none"]}})
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "eventstreams", "static_configs": [{"targets": [f"{HOST}:{site.port}"]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    log = tmp_path / "prometheus.log"
    site.start(wait_ready=False)
    process = spawn([program("prometheus"), *options, f"--web.listen-address={HOST}:{port}"], log)
    states: dict[str, str] = {}
    try:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as client, asyncio.timeout(180):
            while states.get("EventStreamsKafkaAway") != "firing":
                assert process.poll() is None, last_lines(log)
                await asyncio.sleep(0.5)
                try:
                    said = (await client.get("/api/v1/alerts")).json()["data"]["alerts"]
                except (httpx.TransportError, ValueError):
                    continue
                states = {each["labels"]["alertname"]: each["state"] for each in said}
        assert "EventStreamsMissing" not in states
        assert "EventStreamsCrashLoop" not in states
    finally:
        terminate(process, 5)
        site.close()
