"""A worker of `serve --workers N`, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import NoReturn

from eventstreams_site.config.config import Config, load_config
from eventstreams_site.logs.lines import Style
from eventstreams_site.process import Process
from eventstreams_site.server import descriptors, signals
from eventstreams_site.server.control import Message, receive_first
from eventstreams_site.server.descriptors import Places
from eventstreams_site.server.fleet_status import FleetStatus
from eventstreams_site.server.handover import State
from eventstreams_site.server.reporting import Reporting
from eventstreams_site.server.server import StreamServer, tune
from eventstreams_site.server.supervisor_link import SupervisorLink
from eventstreams_site.server.worker_limits import WorkerLimits

log = logging.getLogger(__name__)


def run_worker(channel: socket.socket, control: socket.socket, workers: int) -> NoReturn:
    """Be one of `workers` workers of the supervisor at the other end of these sockets; then end the process."""
    try:
        signals.at_start()
        first = receive_first(control)
        Style.worker, text = str(first["slot"]), first["text"]  # not the file, which may have changed since the check
        config, places = descriptors.bounded(load_config(os.environ, text, warns=False), workers, tells=False)
        Style.use(config.log_format)
        serve_connections(config, places, channel, control)
    except EOFError:
        log.warning("The supervisor ended before this worker began")
    except Exception:
        log.exception("Worker %s failed", os.getpid())
    signals.end(1)


def serve_connections(config: Config, places: Places, channel: socket.socket, control: socket.socket) -> NoReturn:
    """Run a server for the connections that arrive over `channel` until it is stopped or `channel` is closed.

    Then end the process. The supervisor learns the worker's state over `control`.
    """
    tune()
    process = Process(config)
    server = StreamServer(process, places)
    service = server.service

    def look() -> tuple[State, int, int]:
        state = State.DRAINING if service.draining else State.READY
        is_full = not server.room.has_room()
        return State.FULL if is_full else state, len(service.connections), server.room.left

    reporting = Reporting(service, control)
    service.limits = limits = WorkerLimits(config, places.streams, reporting.send)
    status = FleetStatus(service, process.status, reporting.send)
    service.status = status.status

    def receive(message: Message) -> None:
        to = status if message["type"] in ("status", "trouble") else limits
        to.receive(message)

    reporting.on_message = receive
    link = SupervisorLink(channel, server.adopt, server.stop, look, server.accept_failures)
    server.connection_ended = link.connection_ended
    # Ctrl-C reaches all processes of a terminal; the supervisor tells the workers to stop.
    server.run_with(_Intake(link, reporting), ignoring={signal.SIGINT})


class _Intake:
    def __init__(self, link: SupervisorLink, reporting: Reporting) -> None:
        self._link = link
        self._reporting = reporting
        self._opening: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._link.start()
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        try:
            await self._reporting.start()
        except Exception:
            log.exception("The worker cannot report to the supervisor")

    def close(self) -> None:
        self._link.close()
        self._reporting.report_metrics()
