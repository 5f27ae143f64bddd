"""`serve --workers N`: N server processes behind one listening socket.

The first process accepts, and hands the connections to the others in turn. Processes that accept from a shared socket
by themselves share badly: the kernel wakes the same one again and again. A connection is a descriptor that is sent over
a Unix socket (unix(7), SCM_RIGHTS); nothing is copied or forwarded afterwards.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import selectors
import signal
import socket
import time
from typing import NoReturn

from eventstreams_site.conf import Config

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that wait to be accepted (the kernel bounds it by net.core.somaxconn): many come back at once."""
RESTART_SECONDS = 1.0
"""A worker that ended by itself is started again so much later."""


class ListenError(Exception):
    """The address cannot be listened on."""


def run_workers(config: Config, host: str, port: int, count: int) -> None:
    """Run `count` workers until they are stopped (SIGINT, SIGTERM). Raises ListenError.

    To be called before anything has an event loop or a thread: workers are forked.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenError(f"Cannot listen on {host} port {port}: {error}") from None
    listener.setblocking(False)
    log.info("Listening on http://%s:%s with %s workers", *listener.getsockname()[:2], count)
    _Workers(config, listener, count).run()


class _Workers:
    def __init__(self, config: Config, listener: socket.socket, count: int) -> None:
        self._config = config
        self._listener = listener
        self._count = count
        self._channels: dict[int, socket.socket] = {}
        """Process id → where its connections are sent."""
        self._start_at: list[float] = []
        """When workers are to be started again that ended by themselves (time.monotonic)."""
        self._turn = itertools.count()
        self._is_stopping = False

    def run(self) -> None:
        wake, waker = socket.socketpair()
        for each in (wake, waker):
            each.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        for _ in range(self._count):
            self._start_worker()
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            while self._channels or self._start_at:
                due = max(0.0, self._start_at[0] - time.monotonic()) if self._start_at else None
                for key, _ in selector.select(due):
                    if key.fileobj is wake:
                        self._heed(set(wake.recv(1024)))
                    else:
                        self._accept()
                while self._start_at and self._start_at[0] <= time.monotonic():
                    self._start_at.pop(0)
                    self._start_worker()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while self._channels:
                connection, _ = self._listener.accept()
                with connection:
                    self._hand_on(connection)

    def _hand_on(self, connection: socket.socket) -> None:
        """To the worker whose turn it is, or the next one that takes it; if none does, the connection is closed."""
        channels = list(self._channels.values())
        for _ in channels:
            channel = channels[next(self._turn) % len(channels)]
            with contextlib.suppress(OSError):  # it has ended, or hangs
                socket.send_fds(channel, [b"+"], [connection.fileno()], socket.MSG_DONTWAIT)
                return

    def _heed(self, signals: set[int]) -> None:
        if signals & {signal.SIGINT, signal.SIGTERM}:
            # Newcomers are still handed on, and are told by the workers that the service is draining.
            self._is_stopping = True
            self._start_at.clear()
            for pid in self._channels:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        for pid in list(self._channels):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._channels.pop(pid).close()
                if not self._is_stopping:
                    code = os.waitstatus_to_exitcode(status)
                    log.error("Worker %s ended with %s; starting another in %s s", pid, code, RESTART_SECONDS)
                    self._start_at.append(time.monotonic() + RESTART_SECONDS)

    def _start_worker(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if not pid:
            self._listener.close()
            for channel in (ours, *self._channels.values()):
                channel.close()
            self._work(theirs)
        theirs.close()
        self._channels[pid] = ours

    def _work(self, channel: socket.socket) -> NoReturn:
        """All that a worker does: it never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGCHLD):
                # Ctrl-C reaches all processes of a terminal; the first one tells the workers to stop.
                signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            from eventstreams_site.server import serve_connections

            serve_connections(self._config, channel)
            status = 0
        except Exception:
            log.exception("Worker %s failed", os.getpid())
        finally:
            logging.shutdown()
            os._exit(status)
