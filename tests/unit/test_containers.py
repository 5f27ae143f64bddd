"""`make test-containers` where no container engine answers: it says so, and does not look like a success."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.containers import __main__ as containers

ROOT = Path(__file__).resolve().parents[2]


def test_without_an_engine_it_says_that_nothing_was_tested() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.containers"],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == containers.NO_ENGINE
    assert done.stderr.startswith("Nothing was tested: no container engine answers at tcp://127.0.0.1:1. Start Docker")
    assert "Traceback" not in done.stderr


def test_the_images_are_those_of_compose() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert (services["postgres"]["image"], services["redis"]["image"]) == (containers.POSTGRES, containers.REDIS)
