"""What Linux says of a server's processes: connections, memory at its highest, CPU time. Reads /proc only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ESTABLISHED = "01"
_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return the process and all that it has started."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            children.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, ())
    return found


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of the family so far."""
    total = 0
    for member in family(pid):
        with suppress(OSError):
            fields = _stat(member)
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


async def busy_percent(seconds: float = 1.0) -> float:
    """Return how much of all cores is in use now."""
    before = _all_cores()
    await asyncio.sleep(seconds)
    used, total = (after - earlier for after, earlier in zip(_all_cores(), before, strict=True))
    return 100 * used / max(1, total)


def _all_cores() -> tuple[int, int]:
    """Ticks used and ticks in all; stolen ones are used too, but by another machine."""
    ticks = [int(text) for text in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def peak_rss_kb(pid: int) -> float:
    """Return the highest RSS that the process has had, in units of 1,000 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1.024
    raise OSError(f"/proc/{pid}/status has no VmHWM")


def connections(pid: int, port: int) -> dict[int, int]:
    """Return, for each process of the family that has any, its established sockets with that local port."""
    inodes = set(_established(port))
    counted = {}
    for member in family(pid):
        with suppress(OSError):
            held = sum(_target(link) in inodes for link in Path(f"/proc/{member}/fd").iterdir())
            if held:
                counted[member] = held
    return counted


def _established(port: int) -> Iterator[str]:
    """The names that such sockets have among a process's file descriptors."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{fields[9]}]"


def _target(link: Path) -> str:
    with suppress(OSError):
        return os.readlink(link)
    return ""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on; the second, a name, may hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
