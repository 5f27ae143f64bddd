"""An import goes only towards the pure core: a module may use its own layer and those below (docs/architecture.md)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("streams", "redaction", "eventstreams_site")
PROCESS_ENTRIES = ("streams.management", "redaction.management")
"""Commands start a process: they may use everything."""


class Layer(NamedTuple):
    """`modules` (and what is in them) may use of our own `ours`; of the rest, `others`, or all but `never`."""

    modules: tuple[str, ...]
    ours: tuple[str, ...]
    others: frozenset[str] | None = None
    never: frozenset[str] = frozenset()


STANDARD = frozenset(sys.stdlib_module_names)
NO_HTTP = frozenset({"http", "urllib", "socket", "socketserver", "wsgiref", "xmlrpc"})

CORE = Layer(
    ("streams.core", "redaction.redactor"),
    ours=("streams.core",),
    others=STANDARD - NO_HTTP - {"asyncio", "time", "threading", "subprocess", "logging"} | {"msgspec"},
)
THE_CHECK = ("redaction.verdict", "redaction.page_filter", "redaction.json_members")
"""Independent of the redactor, so it shares nothing with it, not even the core."""
CHECK = Layer(THE_CHECK, ours=THE_CHECK, others=CORE.others)
ENGINE = Layer(
    ("streams.engine",),
    ours=("streams.engine", "streams.core"),
    others=STANDARD - NO_HTTP | {"msgspec", "aiokafka", "prometheus_client"},
)
EDGE = Layer(
    ("streams.http", "redaction.views"),
    ours=("streams", "redaction"),
    never=frozenset({"daphne", "twisted", "aiokafka"}),
)
DJANGO = Layer(
    ("streams", "redaction"),
    ours=("streams", "redaction"),
)
LAYERS = (CORE, CHECK, ENGINE, EDGE, DJANGO)
"""The first that a module is in is its own."""
ABOVE_DJANGO = "streams.http"


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def imports(module: str, source: str, is_package: bool = False) -> Iterator[str]:
    """The full names of all that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".")[: -node.level + is_package or None]
                base = ".".join([*parent, *filter(None, [node.module])])
            # What is imported from a package may be a module of it.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def breaches(module: str, source: str, is_package: bool = False) -> list[str]:
    """What a module imports and may not."""
    layer = next((layer for layer in LAYERS if is_in(module, layer.modules)), None)
    if layer is None or is_in(module, PROCESS_ENTRIES):
        return []
    found = []
    for name in imports(module, source, is_package):
        top = name.partition(".")[0]
        if top in PACKAGES:
            allowed = is_in(name, layer.ours) and not (layer is DJANGO and is_in(name, (ABOVE_DJANGO,)))
        elif layer.others is not None:
            allowed = top in layer.others
        else:
            allowed = top not in layer.never
        if not allowed:
            found.append(name)
    return found


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=[module for module, _ in modules()])
def test_a_module_imports_nothing_of_a_layer_above_its_own(module: str, path: Path) -> None:
    assert breaches(module, path.read_text(), path.name == "__init__.py") == []


def test_every_layer_has_modules() -> None:
    names = [module for module, _ in modules()]
    for layer in LAYERS:
        assert any(is_in(name, layer.modules) for name in names), layer.modules
    assert "streams.core.events" in names
    assert "streams.engine.hub" in names
    assert "redaction.redactor" in names


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("streams.core.plan", "import django.conf"),
        ("streams.core.plan", "from asyncio import Event"),
        ("streams.core.plan", "import time"),
        ("streams.core.plan", "def later():\n    from streams.engine import hub"),
        ("streams.core.plan", "from ..engine import hub"),
        ("streams.core.plan", "from streams import sync"),
        ("redaction.redactor", "from redaction.models import List"),
        ("redaction.redactor", "import aiokafka"),
        ("redaction.verdict", "from redaction.redactor import normalise_title"),
        ("redaction.page_filter", "from streams.core.spelling import normalise_title"),
        ("streams.engine.hub", "import django"),
        ("streams.engine.hub", "from http.client import HTTPConnection"),
        ("streams.engine.hub", "import urllib.request"),
        ("streams.engine.hub", "from streams.http.service import Service"),
        ("streams.engine.hub", "from streams import http"),
        ("streams.engine.hub", "from redaction.redactor import Redactor"),
        ("streams.engine.hub", "import eventstreams_site.conf"),
        ("streams.http.views", "if TYPE_CHECKING:\n    from eventstreams_site.process import Process"),
        ("streams.http.views", "import twisted.web"),
        ("streams.sync", "from streams.http.requests import header"),
        ("streams.sync", "import eventstreams_site"),
    ],
)
def test_a_breach_is_found_wherever_it_stands(module: str, source: str) -> None:
    assert len(breaches(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("streams.core.plan", "import json, msgspec\nfrom streams.core.positions import Mark"),
        ("streams.core", "from .positions import Mark"),
        ("redaction.redactor", "from streams.core.events import Fields"),
        (
            "streams.engine.hub",
            "import asyncio, time, logging, aiokafka\nfrom streams.core import plan\nfrom . import feed",
        ),
        ("streams.http.views", "import django, channels\nfrom streams.engine.hub import Hub"),
        ("streams.sync", "import django, urllib.request\nfrom streams.core.catalogue import Catalogue"),
        ("streams.management.commands.serve", "from eventstreams_site.server import serve"),
        ("eventstreams_site.process", "import twisted, django\nfrom streams.http.service import Service"),
    ],
)
def test_what_a_layer_may_use_is_no_breach(module: str, source: str) -> None:
    assert breaches(module, source, is_package=module == "streams.core") == []
