"""The workers of a supervisor: started, watched, and replaced if they end, hang, or get a new configuration.

There is one way of replacing a worker that serves: its successor is started and becomes ready, then the worker drains.
One is replaced at a time. A configuration is either that of all workers or, if one of them cannot be replaced, of
none: those that have it already are replaced once more, by workers with the configuration before it.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable

from eventstreams_site.server import fleet_trouble, handover, signals
from eventstreams_site.server.check import Checked
from eventstreams_site.server.handover import State
from eventstreams_site.server.options import WORKER
from eventstreams_site.server.slot import MAX_RESTART_SECONDS, Slot
from eventstreams_site.server.spawn import spawn
from eventstreams_site.server.worker import SETTLED_SECONDS, Worker

log = logging.getLogger(__name__)

SILENT_SECONDS = 3.0
"""Seconds without a report after which a worker gets no connections."""
HUNG_SECONDS = 15.0
"""Seconds without a report after which a worker writes its stacks and is replaced."""
STARTING_SECONDS = 120.0
"""Maximum seconds until a worker's first report (it imports everything first), and until a successor is ready."""
DUMP_SECONDS = 1.0
"""Seconds for writing the stacks."""
LOOK_SECONDS = 0.5
"""Seconds between two looks at the workers."""
SIZE_SECONDS = 5.0
"""Seconds between two looks at their memory and age."""
STOP_SECONDS = 2.5
"""Seconds after the drain at which workers that still run write their stacks and are killed."""
STOP_DUMP_SECONDS = 0.2
TOGETHER_SECONDS = 2.0
"""Maximum seconds for which newcomers wait at the start until all workers are ready: a crowd that reconnects would all
go to the first."""


class Fleet:
    """All workers."""

    def __init__(
        self,
        config: Checked,
        count: int,
        *,
        watch: Callable[[Worker], None],
        unwatch: Callable[[Worker], None],
    ) -> None:
        """Prepare `count` slots; `watch` is called for each worker that is started, `unwatch` once it has ended."""
        self.config = config
        self.slots = [Slot(number) for number in range(count)]
        self.workers: dict[int, Worker] = {}
        self.reload_problem = ""
        """Why the last reload failed; empty if it did not."""
        self._watch, self._unwatch = watch, unwatch
        self._proven_config = config
        """The configuration that all workers had last: a failed reload goes back to it."""
        self._to_replace: deque[Slot] = deque()
        self._replacing: Slot | None = None
        self._leaving: Worker | None = None
        """The worker that drains since its successor is ready: the next one is replaced after its end."""
        self._looked_at = self._sized_at = time.monotonic()
        self.is_stopping = False
        self.stops_at = math.inf
        """When the last worker has ended, at the latest (time.monotonic), once they are told to stop."""
        self._first_heard_at: float | None = None
        self._has_gathered = count < 2

    def is_gathering(self, now: float) -> bool:
        """Return whether the first workers are still starting, so that newcomers are to wait for all of them."""
        if not self._has_gathered:
            if self._first_heard_at is None and any(each.heard_at is not None for each in self.workers.values()):
                self._first_heard_at = now
            is_over = self._first_heard_at is not None and now >= self._first_heard_at + TOGETHER_SECONDS
            workers = [slot.worker for slot in self.slots if slot.worker is not None]
            self._has_gathered = is_over or self.is_stopping or (bool(workers) and all(w.is_ready for w in workers))
        return not self._has_gathered

    def next_due(self) -> list[float]:
        """Return the times at which something is to be done (time.monotonic)."""
        due = [slot.start_at for slot in self.slots if slot.start_at is not None]
        for worker in self.workers.values():
            due += [each for each in (worker.kill_at, worker.stop_by) if each is not None]
        if self._first_heard_at is not None and not self._has_gathered:
            due.append(self._first_heard_at + TOGETHER_SECONDS)
        return due

    def look(self, now: float) -> None:
        """Do what is due: note workers that have ended, judge the others, start and replace."""
        if now - self._looked_at > 4 * LOOK_SECONDS:  # the supervisor itself was stopped, perhaps together with them
            for worker in self.workers.values():
                worker.heard_at = now if worker.heard_at is not None else None
                worker.started_at = now
        self._looked_at = now
        for worker in list(self.workers.values()):
            worker.control.flush()
            if not self.has_ended(worker, now):
                self._judge(worker, now)
        if self.is_stopping:
            return
        for slot in self.slots:
            if slot.failures and slot.worker is not None and slot.worker.is_settled(now):
                slot.failures = 0
            if slot.start_at is not None and slot.start_at <= now:
                slot.worker = self._start(slot, now)
        if now - self._sized_at > SIZE_SECONDS:
            self._sized_at = now
            self._look_at_sizes(now)
        self._replace_next(now)

    # Replacing.

    def reload(self, config: Checked) -> None:
        """Replace all workers, one at a time, by workers with another configuration."""
        self.config = config
        self.reload_problem = ""
        self._to_replace = deque(self.slots)
        log.info("Replacing %s workers, one at a time, by workers with the new configuration", len(self.slots))

    def _replace_next(self, now: float) -> None:
        if self._leaving is not None:
            if self._leaving.pid in self.workers:
                return
            self._leaving = None
        slot = self._replacing
        if slot is None:
            while self._to_replace and slot is None:
                slot = self._to_replace.popleft()
                slot = slot if slot.worker is not None else None  # its next worker has the new configuration anyway
            if slot is None:
                if all(each.worker is not None and self._is_proven_by(each.worker) for each in self.slots):
                    self._proven_config = self.config
            else:
                self._replacing = slot
                slot.successor = self._start(slot, now, is_waiting=True)
        elif slot.successor is None:
            self._give_up("its successor could not be started, or exited; the log says why", slot)
        elif slot.successor.is_ready:
            self._replacing = None
            successor, slot.successor = slot.successor, None
            successor.is_waiting = False
            if slot.worker is not None:
                self._leaving = slot.worker
                slot.worker.is_replaced = True
                self.tell_to_stop(slot.worker, now)
            slot.worker, slot.start_at = successor, None
            log.info("Worker %s is ready in slot %s", successor.pid, slot.number)
        elif now - slot.successor.started_at > STARTING_SECONDS:
            why = "; ".join(slot.successor.unready or ["it has not said why"])
            self._end(slot.successor, f"is not ready after {STARTING_SECONDS:.0f} s ({why})", now + DUMP_SECONDS)
            slot.successor = None

    def _give_up(self, why: str, slot: Slot) -> None:
        self._replacing = None
        self._to_replace.clear()
        self.reload_problem = f"worker {slot.number} could not be replaced: {why}"
        log.error("The %s; the old one continues", self.reload_problem)
        back, self.config = self.config is not self._proven_config, self._proven_config
        self._sized_at = time.monotonic() + MAX_RESTART_SECONDS
        if back:
            self._to_replace = deque(self._with_another_configuration())
            names = ", ".join(str(each.number) for each in self._to_replace) or "no worker"
            log.warning("Going back to the previous configuration; replacing the workers in the slots: %s", names)

    def _is_proven_by(self, worker: Worker) -> bool:
        return worker.is_ready and worker.config is self.config

    def _with_another_configuration(self) -> list[Slot]:
        return [each for each in self.slots if each.worker is not None and each.worker.config is not self.config]

    @property
    def is_replacing(self) -> bool:
        """Return whether workers are being replaced, or are still to be."""
        return self._replacing is not None or bool(self._to_replace) or self._leaving is not None

    def _look_at_sizes(self, now: float) -> None:
        most_bytes, most_seconds = self.config.max_worker_bytes, self.config.max_worker_seconds
        for slot in self.slots:
            worker = slot.worker
            is_due = slot is self._replacing or slot in self._to_replace
            if worker is None or is_due or worker.is_replaced or now - worker.started_at < SETTLED_SECONDS:
                continue
            if most_bytes and (rss := worker.rss()) > most_bytes:
                log.warning("Replacing worker %s: it has %s bytes, more than max_worker_bytes", worker.pid, rss)
                self._to_replace.append(slot)
            elif worker.config is not self.config:  # going back has failed before
                log.warning("Replacing worker %s: it has another configuration than the others", worker.pid)
                self._to_replace.append(slot)
            elif most_seconds and now - worker.started_at > most_seconds:
                log.info("Replacing worker %s: it is older than max_worker_seconds", worker.pid)
                self._to_replace.append(slot)

    # One worker.

    def _judge(self, worker: Worker, now: float) -> None:
        """Route around a worker that hangs, and replace it in the end; replace one that stops unasked."""
        if worker.kill_at is not None:
            if now >= worker.kill_at:
                worker.signal(signal.SIGKILL)
            return
        if worker.stop_by is not None:
            if now >= worker.stop_by:
                self._end(worker, "has not stopped", now + STOP_DUMP_SECONDS)
            return
        if worker.report.state in (State.DRAINING, State.CLOSED) and worker.heard_at is not None:
            self._replace(worker, now)
        limit = HUNG_SECONDS if worker.heard_at is not None else STARTING_SECONDS
        silent_for = now - (worker.heard_at if worker.heard_at is not None else worker.started_at)
        is_silent = worker.heard_at is not None and silent_for > SILENT_SECONDS
        if is_silent is not worker.is_silent:
            worker.is_silent = is_silent
            if is_silent:
                text = "Worker %s has not reported for %.0f s: new connections go to the others"
                log.warning(text, worker.pid, silent_for)
            else:
                log.warning("Worker %s reports again", worker.pid)
        if silent_for > limit:
            self._end(worker, f"has not reported for {silent_for:.0f} s", now + DUMP_SECONDS)
            self._replace(worker, now)

    def _end(self, worker: Worker, why: str, kill_at: float) -> None:
        """Have it write its stacks, and kill it."""
        log.error("Worker %s %s: its stacks follow, then it is killed", worker.pid, why)
        worker.signal(signals.STACKS, signal.SIGCONT)
        worker.kill_at = kill_at

    def _replace(self, worker: Worker, at: float) -> None:
        """Start another one in its place, once; it is lost, so nothing waits for a successor."""
        slot = self.slots[worker.slot]
        if not worker.is_replaced and not self.is_stopping:
            worker.is_replaced = True
            if slot.successor is worker:
                slot.successor = None
            elif slot.worker is worker:
                slot.worker, slot.start_at = None, at

    def has_ended(self, worker: Worker, now: float) -> bool:
        """Return whether it has ended, and clean up if so."""
        ended, status = os.waitpid(worker.pid, os.WNOHANG)
        if not ended:
            return False
        del self.workers[worker.pid]
        self._unwatch(worker)
        worker.close()
        code = os.waitstatus_to_exitcode(status)
        slot = self.slots[worker.slot]
        if not self.is_stopping and not worker.is_replaced:
            slot.restarts += 1
            if slot.successor is worker:
                log.error("Worker %s exited with %s before it was ready", worker.pid, code)
                slot.successor = None
                return True
            wait = slot.next_wait(now - worker.started_at)
            log.error("Worker %s exited with %s; restarting in %.0f s", worker.pid, code, wait)
            self._replace(worker, now + wait)
        else:
            log.info("Worker %s exited with %s", worker.pid, code)
        return True

    def _start(self, slot: Slot, now: float, *, is_waiting: bool = False) -> Worker | None:
        sockets: list[socket.socket] = []
        try:
            sockets += handover.channel()
            sockets += socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            channel, its_channel, up, its_up = sockets
            up.setblocking(False)
            pid = spawn(WORKER, [its_channel.fileno(), its_up.fileno()], "--skip-checks")
        except OSError as error:
            for each in sockets:
                each.close()
            if is_waiting:
                log.error("Cannot start a worker: %s", error)
            else:
                wait = slot.next_wait(0.0)
                log.error("Cannot start a worker: %s; retrying in %.0f s", error, wait)
                slot.start_at = now + wait
            return None
        its_channel.close()
        its_up.close()
        worker = self.workers[pid] = Worker(pid, slot.number, channel, up, now, self.config)
        worker.control.send({"type": "configuration", "text": self.config.text, "slot": slot.number})
        worker.is_waiting = is_waiting
        if not is_waiting:
            slot.start_at = None
        self._watch(worker)
        return worker

    # Stopping.

    def tell_to_stop(self, worker: Worker, now: float) -> None:
        """Have it drain and end."""
        if worker.stop_by is None:
            worker.stop_by = now + self.config.drain_seconds + STOP_SECONDS
            if worker.heard_at is None or not handover.tell_to_stop(worker.channel):
                worker.signal(signal.SIGTERM)

    def stop(self, now: float) -> None:
        """Have all of them drain and end, and start none."""
        self.is_stopping = True
        self.stops_at = now + self.config.drain_seconds + STOP_SECONDS + STOP_DUMP_SECONDS
        for worker in self.workers.values():
            self.tell_to_stop(worker, now)

    def kill(self) -> None:
        """End all of them at once."""
        for worker in self.workers.values():
            worker.signal(signal.SIGKILL)
        deadline = time.monotonic() + STOP_DUMP_SECONDS
        while any(not self.has_ended(each, 0.0) for each in [*self.workers.values()]):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)

    # What is wrong.

    def unready(self) -> list[str]:
        """Return why the service is not ready; empty if it is."""
        return ["draining"] if self.is_stopping else fleet_trouble.unready(self.slots)

    def degraded(self) -> list[str]:
        """Return what is wrong while the service is ready."""
        reasons = fleet_trouble.degraded(self.slots)
        if self.reload_problem:
            others = [str(each.number) for each in self._with_another_configuration()]
            still = f"; still with that configuration: {', '.join(others)}" if others else ""
            reasons.append(f"the last reload failed: {self.reload_problem}{still}")
        return reasons
