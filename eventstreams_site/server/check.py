"""Has a configuration checked by a separate process: what checks it needs Django and the engine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventstreams_site.server import options
from eventstreams_site.server.spawn import spawn

if TYPE_CHECKING:
    from eventstreams_site.config.config import Config

CHECK_SECONDS = 20.0
"""Maximum seconds of a check while workers serve."""
_READ_BYTES = 64 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Checked:
    """A configuration that was found to be right: what the supervisor needs of it, and its text for the workers."""

    text: str | None
    """The configuration file's; None if there is no file."""
    drain_seconds: float
    max_worker_bytes: int
    max_worker_seconds: float
    max_connections: int
    max_replicas_connections: int
    """The `max_connections` of all replicas together, which the open files of one host do not bound; 0: no limit."""
    client_ip_connection_limit: int
    log_format: str
    redis_url: str | None
    number: int = 1
    """1 for the configuration at the start, one more for each that was loaded later."""


class Check:
    """A check under way. Call `read` whenever `descriptor` is ready, until it returns True."""

    def __init__(self) -> None:
        """Start it. Raises OSError."""
        self.descriptor, its = os.pipe()
        try:
            self.pid = spawn(options.CHECK, [its])
        except OSError:
            os.close(self.descriptor)
            raise
        finally:
            os.close(its)
        self.deadline = time.monotonic() + CHECK_SECONDS
        self.status = 0
        """The exit status, once it has ended."""
        self._answer = b""

    def read(self) -> bool:
        """Read a part of the answer; return whether the check has ended."""
        data = os.read(self.descriptor, _READ_BYTES)
        self._answer += data
        if not data:
            self._wait()
        return not data

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._answer = b""
        self._wait()

    def _wait(self) -> None:
        os.close(self.descriptor)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def result(self, number: int) -> Checked | str:
        """Return the configuration, or what is wrong with it; the text is empty if stderr has it already."""
        if not self._answer:
            return ""
        answer: dict[str, Any] = json.loads(self._answer)
        return answer["problem"] if "problem" in answer else Checked(number=number, **answer)


# In the process that checks.


def report_checked(descriptor: int, config: Config, host: Config, text: str | None) -> None:
    """Tell the supervisor that a configuration is right; `host` is the same as this host can bear it."""
    answer = {"text": text, "max_replicas_connections": config.max_connections if config.redis_url else 0}
    names = {each.name for each in dataclasses.fields(Checked)} - answer.keys() - {"number"}
    _report(descriptor, {**answer, **{name: getattr(host, name) for name in names}})


def report_problem(descriptor: int, problem: str) -> None:
    """Tell the supervisor what is wrong with a configuration."""
    _report(descriptor, {"problem": problem})


def _report(descriptor: int, answer: Mapping[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as to:  # the supervisor may have ended
        to.write(json.dumps(answer).encode())
