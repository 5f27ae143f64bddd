"""The docstring of each package is its first page: all files, in reading order, and what it never imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.unit.test_layers import imports, is_in

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(
    path.parent
    for top in ("streams", "redaction", "eventstreams_site")
    for path in (ROOT / top).rglob("__init__.py")
    if path.parent.name != "migrations"
)
LIBRARIES = {"Django": "django", "Daphne": "daphne", "Twisted": "twisted"}


def page(package: Path) -> str:
    return ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""


def never(text: str) -> list[str]:
    """The modules that a page says are never imported."""
    listed = re.search(r"Never imported here: ([^.]*(?:\.\w[^.]*)*)\.(?:\s|$)", text)
    words = [word.strip(" `\n") for word in listed[1].split(",")] if listed else []
    return [LIBRARIES.get(word, word) for word in words if not word.startswith("or ")]


@pytest.fixture(params=PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def package(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_page_names_every_file_and_no_other(package: Path) -> None:
    text = page(package)
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    files |= {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    named = set(re.findall(r"`([\w/]+?)(?:\.py|/)?`", text))
    assert files <= named, f"not in the page: {sorted(files - named)}"
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert (package / name).exists() or (ROOT / name).exists(), f"{name} does not exist"
    if len(files) > 1:
        assert re.search("reading order", text, re.IGNORECASE)


def test_a_page_says_what_is_never_imported_and_that_is_true(package: Path) -> None:
    text = page(package)
    assert "import" in text
    for path in package.glob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name in imports(module, path.read_text()):
            for other in never(text):
                assert not is_in(name, (other,)), f"{module} imports {name}"


def test_what_is_never_imported_is_read_from_the_page() -> None:
    assert never("A.\n\nNever imported here: Django, `streams.http`,\nasyncio, or anything else. More.") == [
        "django",
        "streams.http",
        "asyncio",
    ]
