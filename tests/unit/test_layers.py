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
PURE = ("urllib.parse",)
"""Parts of what is forbidden that only handle text."""
NO_HTTP = frozenset({"http", "urllib", "socket", "socketserver", "wsgiref", "xmlrpc"})

CORE = Layer(
    ("streams.core", "redaction.redactor"),
    ours=("streams.core",),
    others=STANDARD - NO_HTTP - {"asyncio", "time", "threading", "subprocess", "logging"} | {"msgspec"},
)
THE_CHECK = ("redaction.check.verdict", "redaction.check.page_filter", "redaction.check.json_members")
"""Independent of the redactor, so it shares nothing with it, not even the core."""
CHECK = Layer(THE_CHECK, ours=THE_CHECK, others=CORE.others)
ENGINE = Layer(
    ("streams.engine",),
    ours=("streams.engine", "streams.core"),
    others=STANDARD - NO_HTTP | {"msgspec", "aiokafka", "prometheus_client"},
)
EDGE = Layer(
    ("streams.http",),
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
DEVELOPMENT = "streams.local"
MAY_USE_DEVELOPMENT = (DEVELOPMENT, *PROCESS_ENTRIES, "eventstreams_site.devserver")


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
            allowed = top in layer.others or is_in(name, PURE)
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


def uses(is_at_run_time: bool) -> dict[str, set[str]]:
    """Our own modules, each with those of ours that it imports; `is_at_run_time`: only while it is imported itself."""
    known = dict(modules())

    def module_of(name: str) -> str:
        while name and name not in known:
            name = name.rpartition(".")[0]
        return name

    found = {}
    for module, path in known.items():
        source = path.read_text()
        if is_at_run_time:
            source = ast.unparse(ast.Module(list(_run_on_import(ast.parse(source).body)), type_ignores=[]))
        names = {module_of(name) for name in imports(module, source, path.name == "__init__.py")}
        found[module] = names - {"", module}
    return found


def _run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.If):
            is_for_types = "TYPE_CHECKING" in ast.unparse(statement.test)
            yield from _run_on_import(statement.orelse if is_for_types else [*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from _run_on_import([*statement.body, *(s for h in statement.handlers for s in h.body)])
        elif isinstance(statement, ast.With):
            yield from _run_on_import(statement.body)


def reached(module: str, graph: dict[str, set[str]]) -> dict[str, str]:
    """All that a module imports, directly or not, each with who imports it."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        user = waiting.pop()
        for used in graph[user] - found.keys():
            found[used] = user
            waiting.append(used)
    return found


def test_no_layer_is_reached_by_a_detour() -> None:
    graph = uses(is_at_run_time=False)
    for module in graph:
        if is_in(module, ("eventstreams_site", ABOVE_DJANGO, *PROCESS_ENTRIES)):
            continue
        above = {
            used: user
            for used, user in reached(module, graph).items()
            if is_in(used, (ABOVE_DJANGO, "eventstreams_site"))
        }
        assert above == {}, f"{module} reaches a layer above its own"


def test_nothing_in_production_uses_what_development_needs() -> None:
    for module, used in uses(is_at_run_time=False).items():
        if not is_in(module, MAY_USE_DEVELOPMENT):
            assert [name for name in used if is_in(name, (DEVELOPMENT,))] == [], module


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = uses(is_at_run_time=True)
    circles = [module for module in graph if module in reached(module, graph)]
    assert circles == []


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert [module for module in graph if module in reached(module, graph)] == ["a", "b", "c"]


def test_every_layer_has_modules() -> None:
    names = [module for module, _ in modules()]
    for layer in LAYERS:
        assert any(is_in(name, layer.modules) for name in names), layer.modules
    assert "streams.core.events" in names
    assert "streams.engine.tail.hub" in names
    assert "redaction.redactor" in names


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("streams.core.plan", "import django.conf"),
        ("streams.core.plan", "from asyncio import Event"),
        ("streams.core.plan", "import time"),
        ("streams.core.plan", "def later():\n    from streams.engine import hub"),
        ("streams.core.plan", "from ..engine import hub"),
        ("streams.core.plan", "from streams.catalogue import synchronise"),
        ("redaction.redactor", "from redaction.models import List"),
        ("redaction.redactor", "import aiokafka"),
        ("redaction.check.verdict", "from redaction.redactor import normalise_title"),
        ("redaction.check.page_filter", "from streams.core.spelling import normalise_title"),
        ("streams.engine.tail.hub", "import django"),
        ("streams.engine.tail.hub", "from http.client import HTTPConnection"),
        ("streams.engine.tail.hub", "import urllib.request"),
        ("streams.engine.tail.hub", "from streams.http.service import Service"),
        ("streams.engine.tail.hub", "from streams import http"),
        ("streams.engine.tail.hub", "from redaction.redactor import Redactor"),
        ("streams.engine.tail.hub", "import eventstreams_site.config.config"),
        ("streams.http.views", "if TYPE_CHECKING:\n    from eventstreams_site.process import Process"),
        ("streams.http.views", "import twisted.web"),
        ("streams.catalogue.synchronise", "from streams.http.requests import header"),
        ("streams.catalogue.synchronise", "import eventstreams_site"),
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
            "streams.engine.tail.hub",
            "import asyncio, time, logging, aiokafka\nfrom streams.core import plan\nfrom . import feed",
        ),
        ("streams.http.views", "import django, channels\nfrom streams.engine.tail.hub import Hub"),
        (
            "streams.catalogue.synchronise",
            "import django, urllib.request\nfrom streams.core.catalogue import Catalogue",
        ),
        ("streams.management.commands.serve", "from eventstreams_site.server.server import serve"),
        ("eventstreams_site.process", "import twisted, django\nfrom streams.http.service import Service"),
    ],
)
def test_what_a_layer_may_use_is_no_breach(module: str, source: str) -> None:
    assert breaches(module, source, is_package=module == "streams.core") == []
