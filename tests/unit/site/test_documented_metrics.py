"""docs/operations.md has a paragraph for each metric of a real server and of its supervisor, and for no other."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from eventstreams_site.config.config import load_config
from eventstreams_site.process import Process
from eventstreams_site.server.descriptors import Places
from eventstreams_site.server.listening import AcceptFailures
from eventstreams_site.server.operations import Operations
from eventstreams_site.server.server import StreamServer
from tests.support.site import ROOT

TYPE = re.compile(r"^# TYPE (\w+) (\w+)$", re.MULTILINE)
NAME = re.compile(r"`((?:eventstreams|process)_\w+)`")


def names_of(registry: Any) -> set[str]:
    """The names of samples; also of a metric that has no sample yet."""
    return {
        name
        for family, kind in TYPE.findall(generate_latest(registry).decode())
        for name in ([f"{family}_count", f"{family}_sum"] if kind == "summary" else [family])
        if not family.endswith("_created")
    }


async def test_each_metric_has_its_paragraph_and_each_paragraph_its_metric() -> None:
    server = StreamServer(Process(load_config({})), Places(100, 50, 40))
    config = SimpleNamespace(
        number=1,
        redis_url="redis://127.0.0.1:1",
        max_connections=0,
        max_replicas_connections=0,
        client_ip_connection_limit=0,
    )
    slot = SimpleNamespace(number=0, worker=None, restarts=0, is_crash_loop=False)
    fleet: Any = SimpleNamespace(config=config, slots=[slot], workers={})
    operations = Operations(fleet, AcceptFailures(), lambda _: None, lambda: None)
    try:
        real = names_of(server.service.metrics.registry) | names_of(operations)
    finally:
        operations.limits.close()
    text = (ROOT / "docs/operations.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    paragraphs = re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)
    documented = [name for each in paragraphs for name in NAME.findall(each.partition(": ")[0])]
    assert len(documented) > 80
    assert sorted(documented) == sorted(real)
    for each in paragraphs:
        assert "Normal: " in each or "Worry" in " ".join(each.split()), each


async def test_no_metric_has_a_client_as_a_label() -> None:
    registry: CollectorRegistry = StreamServer(Process(load_config({})), Places(100, 50, 40)).service.metrics.registry
    labels: set[str] = set()
    for collector in registry._collector_to_names:
        labels |= set(getattr(collector, "_labelnames", ()))
        labels |= {label for each in collector.collect() for label in getattr(each, "_labelnames", ())}
    allowed = {"stream", "streams", "topic", "partition", "format", "reason", "type", "state", "place", "outcome"}
    assert labels <= allowed | {"coding", "found", "query", "rule", "what"}
