"""On a machine that has Python alone, `make test` runs what needs nothing else, and says what it left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.site import ROOT

NEEDY = ("tests/contract/test_tail.py", "tests/integration/test_headers.py", "tests/faults/test_database.py")
FREE = "tests/unit/core/test_ring.py"


def test_what_lacks_a_program_is_skipped_and_named(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *NEEDY, FREE],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), "DOCKER_HOST": "tcp://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "No Java was found on the PATH: Kafka" in done.stdout
    assert "needs PostgreSQL: install it with `apt-get install postgresql`" in done.stdout
    counts = done.stdout.splitlines()[-1]
    assert " passed" in counts
    assert " skipped" in counts
