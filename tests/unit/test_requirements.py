"""requirements*.txt are what the .in files and the installed packages say; each licence is listed."""

from __future__ import annotations

import re
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.licences import LICENCES, licence, pinned

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("requirements", "requirements-dev")


def wanted(name: str) -> list[str]:
    """The lines of the .in file that name a package, with those of the .in files that it includes."""
    lines = [line for line in (ROOT / f"{name}.in").read_text().splitlines() if line and not line.startswith("#")]
    included = [line.split()[1] for line in lines if line.startswith("-r ")]
    return [line for line in lines if not line.startswith("-")] + [
        line for path in included for line in wanted(path.removesuffix(".in"))
    ]


def requirements(name: str) -> list[Requirement]:
    return [Requirement(line.partition("#")[0]) for line in wanted(name)]


def versions(packages: list[Requirement]) -> dict[str, str]:
    return {canonicalize_name(package.name): str(package.specifier) for package in packages}


def compiled(name: str) -> dict[str, str]:
    return versions(pinned(ROOT / f"{name}.txt"))


def closure(packages: list[Requirement]) -> set[str]:
    """The names of these packages and of all that their installed metadata requires on this Python."""
    found: set[tuple[str, str]] = set()
    waiting = list(packages)
    while waiting:
        package = waiting.pop()
        for extra in {"", *package.extras}:
            key = (str(canonicalize_name(package.name)), extra)
            if key in found:
                continue
            found.add(key)
            needs = [Requirement(line) for line in requires(package.name) or []]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


@pytest.mark.parametrize("name", NAMES)
def test_the_compiled_file_has_the_versions_of_the_in_file(name: str) -> None:
    of_in = versions(requirements(name))
    assert all(re.fullmatch(r"==[\w.]+", specifier) for specifier in of_in.values()), of_in
    assert {package: compiled(name).get(package) for package in of_in} == of_in, "run `make requirements`"


@pytest.mark.parametrize("name", NAMES)
def test_the_compiled_file_has_what_those_need_and_nothing_else(name: str) -> None:
    here = {
        str(canonicalize_name(package.name))
        for package in pinned(ROOT / f"{name}.txt")
        if package.marker is None or package.marker.evaluate()
    }
    assert here == closure(requirements(name)), "run `make requirements`"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_installed_is_what_is_pinned(name: str) -> None:
    here = compiled(name)
    assert {package: f"=={version(package)}" for package in here} == here, "run `make install-dev`"


def test_both_files_pin_the_same_versions() -> None:
    assert compiled("requirements").items() <= compiled("requirements-dev").items()


@pytest.mark.parametrize("name", NAMES)
def test_every_pin_has_hashes_and_no_registry_is_named(name: str) -> None:
    text = (ROOT / f"{name}.txt").read_text()
    pins = [pin for pin in re.split(r"^(?=\w)", text, flags=re.MULTILINE) if not pin.startswith("#")]
    assert len(pins) == len(compiled(name)) > 10
    assert [pin.split()[0] for pin in pins if not re.search(r"--hash=sha256:[0-9a-f]{64}", pin)] == []
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("name", NAMES)
def test_every_package_says_why_it_is_wanted(name: str) -> None:
    assert [line for line in wanted(name) if not line.partition("#")[2].strip()] == []


def test_each_package_of_the_service_is_listed_with_its_licence() -> None:
    listed = re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \| (.+) \|$", LICENCES.read_text(), re.MULTILINE)
    assert listed.pop(0) == ("package", "version", "licence")
    assert {str(canonicalize_name(name)): f"=={number}" for name, number, _ in listed} == compiled("requirements")
    assert {name: text for name, _, text in listed} == {name: licence(metadata(name)) for name, _, _ in listed}
