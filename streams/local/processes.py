"""Child processes that cannot outlive their parent, and free ports."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"
# Below the range of outgoing ports: a client that retries a server that is down could otherwise get the server's own
# port, connect to itself, and keep the server from starting again.
_FREE_PORTS = range(20_000, 32_000)

# The signal is set before exec, which keeps it; if the parent has exited by then, the parent id has changed. The extra
# interpreter costs 20 ms; `preexec_fn` could deadlock in a process with threads.
_SHIM = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[1]), 0, 0, 0)
if os.getppid() != int(sys.argv[2]):
    sys.exit(1)
os.execvp(sys.argv[3], sys.argv[3:])
"""

# Linux sends the signal when the *thread* that started the child ends: this one lives as long as the process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def spawn(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that dies with this one, even if this one is killed (Linux), with its output in a new `log`.

    It has its own session, so that Ctrl-C in the terminal only reaches the parent. May be called from any thread.

    Raises:
        OSError: It cannot be started.
    """
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _SHIM, str(int(signal.SIGKILL)), str(os.getpid()), *command]
    with log.open("wb") as output:
        started = _spawner.submit(
            subprocess.Popen,
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
            cwd=cwd,
        )
        return started.result()


def terminate(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask a process of `spawn` to exit; after `seconds`, kill it and all that it started in its session."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_lines(log: Path, count: int = 15) -> str:
    """Return the last lines of a log, indented for a message."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-count:]) or "    (the log is empty)"


def port_is_free(port: int, host: str = HOST) -> bool:
    """Return whether a server could listen there now; connections in TIME_WAIT do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a free port on 127.0.0.1 that no outgoing connection will get."""
    for port in random.sample(_FREE_PORTS, 200):
        if port_is_free(port):
            return port
    raise OSError(f"No free port found between {_FREE_PORTS.start} and {_FREE_PORTS.stop} on {HOST}")
