"""What the supervisor answers for all workers, without processes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from eventstreams_site.server.control import Message
from eventstreams_site.server.listening import ACCEPT_FAILURES, AcceptFailures
from eventstreams_site.server.operations import Operations

CONFIG = SimpleNamespace(redis_url=None, max_connections=0)


def test_a_failure_to_accept_is_counted_once_whoever_has_it() -> None:
    fleet: Any = SimpleNamespace(config=CONFIG, slots=[], workers={})
    failures = AcceptFailures()
    operations = Operations(fleet, failures, lambda _: None, lambda: None)
    for pid, of_worker in ((1, 1), (2, 0)):
        samples = [[f"{ACCEPT_FAILURES}_total", {}, of_worker]]
        families: Message = {"type": "metrics", "families": [[ACCEPT_FAILURES, "counter", "", samples]]}
        operations.heard(SimpleNamespace(pid=pid, slot=pid - 1), families)  # type: ignore[arg-type]
    failures.note("Too many open files")
    failures.note("told by another process", counts=False)
    found = {sample.name: sample.value for each in operations.collect() for sample in each.samples}
    assert found[f"{ACCEPT_FAILURES}_total"] == 2


def test_what_workers_repeat_of_the_supervisors_trouble_is_said_once() -> None:
    said: list[str] = []
    fleet: Any = SimpleNamespace(config=CONFIG, slots=[], workers={}, unready=list, degraded=lambda: list(said))
    operations = Operations(fleet, AcceptFailures(), lambda _: None, lambda: None)
    problem = "limits of connections hold for each host separately"
    operations.limits.shared = SimpleNamespace(problem=problem, is_full=False)  # type: ignore[assignment]
    assert operations.trouble() == ([], [problem])
    said.append(f"all workers: {problem}")
    assert operations.trouble() == ([], [f"all workers: {problem}"])
