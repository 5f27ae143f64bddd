"""The results file: what was measured last, row by row, with when and of what; runs of some rows merge into it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.goals import Figures, shown
from benchmarks.rig import ROOT
from benchmarks.rows import ROWS
from benchmarks.subjects import peer_versions
from streams.local.kafka_jars import KAFKA_VERSION

FILE = ROOT / "benchmarks" / "results" / "results.json"
WORSE = 0.15
"""What got worse by more than this is named."""
BUSY_PERCENT = 20
"""With more of the machine in use before a row, its figures are of the other work too."""

PACKAGES = ("daphne", "channels", "django", "aiokafka", "uvloop", "twisted", "msgspec")

Results = dict[str, Any]


def medians(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure that every round has."""
    common = set.intersection(*(set(one) for one in rounds))
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0] if name in common}


def measured(rounds: Sequence[Figures], busy_percent: float) -> Results:
    """Return what the file keeps of one row; `busy` is how much of the machine other work took before it."""
    rounded = [{name: round(value, 4) for name, value in one.items()} for one in rounds]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    commit = _git("rev-parse", "--short", "HEAD").strip()
    return {"date": now, "commit": commit, "busy_percent": round(busy_percent), "rounds": rounded}


def load(file: Path = FILE) -> Results:
    """Return the results in the file; no rows if there is none."""
    return json.loads(file.read_text()) if file.exists() else {"machine": {}, "rows": {}}


def merge(known: Results, rows: Mapping[str, Results], here: Mapping[str, str]) -> Results:
    """Return `rows`, measured on the machine `here`, merged over what was known of it.

    Rows of another machine are dropped, as they cannot stand in one table, and so are rows that there are no more.
    """
    every = {**(known["rows"] if same_machine(known["machine"], here) else {}), **rows}
    return {"machine": dict(here), "rows": {name: every[name] for name in ROWS if name in every}}


def compared_with(known: Results) -> str:
    """Return a remark to make before a comparison with those results."""
    processor = known["machine"].get("processor", "no machine yet")
    here = "" if same_machine(known["machine"], machine()) else ", which is not this one: figures say little"
    return f"Compared with results of {processor}{here}"


def same_machine(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether both results are of one machine."""
    return one.get("processor") == other.get("processor")


def save(results: Results, file: Path = FILE) -> None:
    """Write the results into the file."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def committed(file: Path = FILE) -> Results:
    """Return the file as it was committed last; without git, as it is."""
    text = _git("show", f"HEAD:{file.relative_to(ROOT)}")
    return json.loads(text) if text else load(file)


def worse(known: Mapping[str, Results], rows: Mapping[str, Results]) -> list[str]:
    """Return sentences about figures with a goal that got worse."""
    said = []
    for name in rows.keys() & known.keys():
        before, now = medians(known[name]["rounds"]), medians(rows[name]["rounds"])
        for goal in ROWS[name].goals:
            if goal.figure in before and goal.figure in now:
                old, new = before[goal.figure], now[goal.figure]
                if goal.worse(old, new, WORSE):
                    said.append(f"{name}: {goal.label} was {shown(old)} and is {shown(new)}")
    return sorted(said)


def machine() -> dict[str, str]:
    """Return what the figures depend on besides the code."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"Python {platform.python_version()}", f"Kafka {KAFKA_VERSION}"]
    versions += [f"{name} {version(name)}" for name in PACKAGES]
    return {
        "processor": f"{os.cpu_count()} cores of {model}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "versions": ", ".join(versions),
        "peers": ", ".join(peer_versions()),
    }


def _git(*arguments: str) -> str:
    """What git says; nothing where it cannot be asked."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
