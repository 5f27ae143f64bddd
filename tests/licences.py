"""Write docs/licences.md: what requirements.txt installs, and under which licence (`make licences`)."""

from __future__ import annotations

import re
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LICENCES = ROOT / "docs" / "licences.md"
HEAD = """\
# Licences

What the service runs on, as [requirements.txt](../requirements.txt) pins it, and the licence that each package names
in its metadata. `make licences` writes this page.

| package | version | licence |
|---|---|---|
"""


def pinned(path: Path) -> list[Requirement]:
    """Return the requirements that a compiled file pins, without their hashes."""
    lines = re.findall(r"^[a-z0-9][^\\\n#]*", path.read_text(), re.MULTILINE | re.IGNORECASE)
    return [Requirement(line) for line in lines]


def licence(package: PackageMetadata) -> str:
    """Return the licence: the expression, else the classifiers' names, else the first line of the text."""
    expression = package.get("License-Expression")
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in package.get_all("Classifier", [])
        if text.startswith("License :: ") and not text.endswith(":: OSI Approved")
    ]
    return expression or ", ".join(classifiers) or str(package.get("License", "not named")).splitlines()[0]


def main() -> None:
    """Write the page."""
    packages = [metadata(wanted.name) for wanted in pinned(ROOT / "requirements.txt")]
    rows = [f"| {package['Name']} | {package['Version']} | {licence(package)} |\n" for package in packages]
    LICENCES.write_text(HEAD + "".join(rows))


if __name__ == "__main__":
    main()
