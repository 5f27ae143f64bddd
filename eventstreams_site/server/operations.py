"""What the supervisor answers for all workers on the operations port: health, readiness, metrics, and reloading."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from eventstreams_site.server.control import Message
from eventstreams_site.server.fleet import Fleet
from eventstreams_site.server.host_limits import HostLimits
from eventstreams_site.server.listening import ACCEPT_FAILURES, ACCEPT_FAILURES_HELP, AcceptFailures
from eventstreams_site.server.merged_metrics import MergedMetrics, families_of
from eventstreams_site.server.ops import OpsServer, Reply, send_json
from eventstreams_site.server.status_answers import StatusAnswers
from eventstreams_site.server.worker import Worker

log = logging.getLogger(__name__)

COLLECT_SECONDS = 5.0
"""Seconds between two collections of the workers' metrics: the counts of a worker that is killed are as old at most."""
ANSWER_SECONDS = 2.0
"""Maximum seconds for the workers' answers; the last known metrics stand in for a missing one."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _AcceptFailures(Collector):
    """The supervisor's part of a counter that each worker has."""

    def __init__(self, failures: AcceptFailures) -> None:
        self._failures = failures

    def collect(self) -> Iterator[Metric]:
        """Yield the counter (prometheus_client)."""
        yield CounterMetricFamily(ACCEPT_FAILURES, ACCEPT_FAILURES_HELP, self._failures.count)


@dataclass
class _Scrape:
    """A request for metrics that waits for the workers."""

    reply: Reply
    missing: set[int]
    """The pids of workers that have not answered yet."""
    deadline: float


class Operations:
    """Answers for all workers of a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        accept_failures: AcceptFailures,
        reload: Callable[[Callable[[str], None]], None],
        wake: Callable[[], None],
    ) -> None:
        """Prepare; `reload` calls its argument with what is wrong with the configuration; empty if nothing is.

        `wake`, which is called from a thread, is to have `look` called.
        """
        self._fleet = fleet
        self._accept_failures = accept_failures
        self._reload = reload
        self._metrics = MergedMetrics()
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)
        self._own.register(_AcceptFailures(accept_failures))
        self.limits = HostLimits(lambda: fleet.config, wake)
        self._told = self._of_limits()
        """What the workers were told last of the host's connections."""
        self._status = StatusAnswers(fleet, self.trouble)
        self._scrapes: list[_Scrape] = []
        self._collected_at = float("-inf")
        self._is_serving = False

    def serve(self, selector: selectors.BaseSelector, listener: socket.socket) -> OpsServer:
        """Begin to answer requests."""
        self._is_serving = True
        return OpsServer(
            selector,
            listener,
            {
                ("GET", "/healthz"): lambda reply: send_json(reply, {"status": "ok"}),
                ("GET", "/readyz"): self._readyz,
                ("GET", "/metrics"): self._begin_scrape,
                ("POST", "/reload"): self._begin_reload,
            },
        )

    def look(self, now: float) -> None:
        """Pass on what Redis answers, ask for metrics from time to time, answer requests that have waited for them."""
        self.limits.look()
        for pid, message in self.limits.answers():
            if (worker := self._fleet.workers.get(pid)) is not None:
                worker.control.send(message)
        self._tell_of_limits()
        self._status.look(now)
        if self._is_serving and now - self._collected_at > COLLECT_SECONDS:
            self._ask(now)
        for scrape in [each for each in self._scrapes if now > each.deadline]:
            self._finish(scrape)

    def heard(self, worker: Worker, message: Message) -> None:
        """Take a message of a worker."""
        if message["type"] == "state":
            if worker.unready is None:
                worker.control.send(self._told)
                self._status.tell(worker)
            worker.unready, worker.degraded = message["unready"], message["degraded"]
        elif message["type"] in ("take", "release"):
            if (answer := self.limits.answer(worker.pid, message)) is not None:
                worker.control.send(answer)
            self._tell_of_limits()
        elif message["type"] in ("figures", "report", "status"):
            self._status.heard(worker, message)
        elif message["type"] == "metrics":
            self._metrics.update(worker.pid, worker.slot, message["families"])
            self._has_answered(worker.pid)

    def ended(self, worker: Worker) -> None:
        """Keep the counters of a worker that has ended."""
        self.limits.end(worker.pid)
        self._tell_of_limits()
        self._status.ended(worker.pid)
        self._metrics.end(worker.pid)
        self._has_answered(worker.pid)

    def _of_limits(self) -> Message:
        return {"type": "limits", "is_full": self.limits.is_full, "problem": self.limits.problem}

    def _tell_of_limits(self) -> None:
        if (told := self._of_limits()) != self._told:
            self._told = told
            for worker in self._fleet.workers.values():
                worker.control.send(told)

    def _has_answered(self, pid: int) -> None:
        for scrape in list(self._scrapes):
            scrape.missing.discard(pid)
            if not scrape.missing:
                self._finish(scrape)

    def trouble(self) -> tuple[list[str], list[str]]:
        """Return why the service is not ready, and what is wrong with it besides."""
        unready = self._fleet.unready()
        degraded = [] if unready else self._fleet.degraded()
        for each in () if unready else (self._accept_failures.problem, self.limits.problem):
            if each and not any(each in said for said in degraded):  # workers say what the supervisor has told them
                degraded.append(each)
        return unready, degraded

    # Routes.

    def _readyz(self, reply: Reply) -> None:
        fleet = self._fleet
        workers = [worker.as_json() for worker in fleet.workers.values()]
        about = {"configuration": fleet.config.number, "replacing": fleet.is_replacing, "problem": fleet.reload_problem}
        unready, degraded = self.trouble()
        if unready:
            answer = {"status": "unready", "reasons": unready, "workers": workers, "reload": about}
            send_json(reply, answer, HTTPStatus.SERVICE_UNAVAILABLE)
            return
        status = {"status": "degraded", "degraded": degraded} if degraded else {"status": "ready"}
        send_json(reply, {**status, "workers": workers, "reload": about})

    def _begin_reload(self, reply: Reply) -> None:
        def answer(problem: str) -> None:
            if problem:
                send_json(reply, {"status": "refused", "detail": problem}, HTTPStatus.CONFLICT)
            else:
                send_json(reply, {"status": "reloading", "workers": len(self._fleet.slots)}, HTTPStatus.ACCEPTED)

        self._reload(answer)

    def _begin_scrape(self, reply: Reply) -> None:
        now = time.monotonic()
        scrape = _Scrape(reply, self._ask(now), now + ANSWER_SECONDS)
        self._scrapes.append(scrape)
        if not scrape.missing:
            self._finish(scrape)

    def _ask(self, now: float) -> set[int]:
        """Ask all workers that report for their metrics; return their pids."""
        self._collected_at = now
        asked = [each for each in self._fleet.workers.values() if each.heard_at is not None and not each.is_silent]
        for worker in asked:
            worker.control.send({"type": "collect"})
        return {worker.pid for worker in asked}

    def _finish(self, scrape: _Scrape) -> None:
        self._scrapes.remove(scrape)
        scrape.reply(HTTPStatus.OK, METRICS_TYPE, generate_latest(self))

    # As a registry of prometheus_client's.

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the workers, of the supervisor's process, and of the fleet."""
        self._metrics.update(0, "supervisor", families_of(self._own))
        yield from self._metrics.collect()
        up = GaugeMetricFamily("eventstreams_worker_up", "1 if the worker is ready", labels=["worker"])
        connections = GaugeMetricFamily("eventstreams_worker_connections", "Connections now", labels=["worker"])
        restarts = CounterMetricFamily("eventstreams_worker_restarts", "Unasked exits of workers", labels=["worker"])
        looping = GaugeMetricFamily(
            "eventstreams_worker_crash_loop", "1 if its workers keep exiting soon after their start", labels=["worker"]
        )
        configuration = GaugeMetricFamily(
            "eventstreams_worker_configuration",
            "Number of its configuration: 1 at the start, one more for each that was loaded later",
            labels=["worker"],
        )
        for slot in self._fleet.slots:
            name, worker = [str(slot.number)], slot.worker
            up.add_metric(name, float(worker is not None and worker.is_ready))
            connections.add_metric(name, worker.report.connections if worker is not None else 0)
            if worker is not None:
                configuration.add_metric(name, worker.config.number)
            restarts.add_metric(name, slot.restarts)
            looping.add_metric(name, float(slot.is_crash_loop))
        yield from (up, connections, configuration, restarts, looping)
        yield GaugeMetricFamily("eventstreams_host_connections", "Streams of all workers", self.limits.connections)
        if self.limits.shared is not None:
            yield from self.limits.shared.collect()
