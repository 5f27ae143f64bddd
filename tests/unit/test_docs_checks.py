"""What CONTRIBUTING.md says of checks: three places run the same ones, and modules are small."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert found
    return [line.strip() for line in found[1].splitlines()]


def loaded(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def test_a_commit_is_checked_as_by_make_lint() -> None:
    (repository,) = loaded(".pre-commit-config.yaml")["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == recipe("lint")
    for hook in repository["hooks"]:
        assert (hook["always_run"], hook["pass_filenames"]) == (True, False), "all files, whatever was changed"


def test_the_workflow_runs_what_ci_runs_on_every_supported_python() -> None:
    job = loaded(".github/workflows/ci.yml")["jobs"]["tests"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert "matrix.python" in job["container"]
    assert [step["run"] for step in job["steps"] if "run" in step][-2:] == ["make lint", ".ci/run"]
    script = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"make --no-print-directory ([\w-]+)", script) == ["test", "test-slow"]


def test_no_module_is_large() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.js", "*.go", "*.html"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    paths = [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]
    large = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert {name: lines for name, lines in large.items() if lines > MAX_LINES} == {}, (
        "split it (CONTRIBUTING.md, Small)"
    )


def test_contributing_has_a_paragraph_for_what_people_add() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    how = text.partition("## How to add")[2]
    for thing in ("setting", "metric", "filter", "stream's schema", "error", "dependency", "migration"):
        assert re.search(rf"\*\*an? {thing}", how), thing
