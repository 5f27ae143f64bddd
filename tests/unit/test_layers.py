"""An import goes only towards the pure core: a module may use its own layer and those below (docs/architecture.md)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("streams", "redaction", "eventstreams_site")
PROCESS_ENTRIES = ("streams.management", "redaction.management")
"""Commands start a process: they may use everything."""


class Layer(NamedTuple):
    """`modules` (and what is in them) may use `ours` of our modules; of the rest, `others`, or all but `never`."""

    modules: tuple[str, ...]
    ours: tuple[str, ...]
    others: frozenset[str] | None = None
    never: frozenset[str] = frozenset()


STANDARD = frozenset(sys.stdlib_module_names)
PURE = ("urllib.parse",)
"""Parts of what is forbidden that only handle text."""
NO_HTTP = frozenset({"http", "urllib", "socket", "socketserver", "wsgiref", "xmlrpc"})
SERVERS = frozenset({"daphne", "twisted"})

CORE = Layer(
    ("streams.core", "redaction.redactor"),
    ours=("streams.core",),
    others=STANDARD - NO_HTTP - {"asyncio", "time", "threading", "subprocess", "logging"} | {"msgspec"},
)
JUDGES = ("redaction.check.verdict", "redaction.check.page_filter", "redaction.check.json_members", "redaction.marking")
"""Independent of the redactor, so they share nothing with it, not even the core."""
JUDGING = Layer(JUDGES, ours=JUDGES, others=CORE.others)
ENGINE = Layer(
    ("streams.engine",),
    ours=("streams.engine", "streams.core"),
    others=STANDARD - NO_HTTP | {"msgspec", "aiokafka", "prometheus_client", "backports", "compression", "zlib_ng"},
)
DEVELOPMENT = Layer(
    ("streams.local",),
    ours=("streams.local", *ENGINE.ours),
    never=SERVERS | {"django"},
)
MIRROR = Layer(
    ("streams.mirror",),
    ours=("streams.mirror", *ENGINE.ours),
    never=SERVERS | {"django"},
)
COMPARISON = Layer(
    ("streams.compare",),
    ours=("streams.compare", *MIRROR.ours),
    never=SERVERS | {"django", "aiokafka"},
)
CATALOGUE = Layer(
    ("streams.catalogue", "streams.schemas", "streams.models", "streams.apps"),
    ours=("streams.catalogue", "streams.schemas", "streams.models", *ENGINE.ours),
    never=SERVERS | {"aiokafka"},
)
EDGE = Layer(
    ("streams.http",),
    ours=("streams.http", *CATALOGUE.ours),
    never=SERVERS | {"aiokafka"},
)
ADMIN_OF_STREAMS = Layer(
    ("streams.admin", "streams.templatetags"),
    ours=("streams.admin", "streams.templatetags", *CATALOGUE.ours),
    never=SERVERS | {"aiokafka"},
)
LIST = Layer(
    ("redaction.models", "redaction.apps", "redaction.listed", "redaction.entries", "redaction.imports"),
    ours=(
        *("redaction.models", "redaction.listed", "redaction.entries", "redaction.imports"),
        *("redaction.redactor", "redaction.marking", "streams.models", "streams.admin.process"),
        *CATALOGUE.ours,
    ),
    never=SERVERS | {"aiokafka"},
)
"""`streams.admin.process`: what the process that serves the admin has in memory is evidence for an entry."""
CHECK = Layer(
    ("redaction.check",),
    ours=("redaction.check", *LIST.ours),
    never=SERVERS,
)
ADMIN_OF_REDACTION = Layer(
    ("redaction.admin", "redaction.templatetags"),
    ours=("redaction.admin", "redaction.templatetags", *CHECK.ours, *ADMIN_OF_STREAMS.ours),
    never=SERVERS | {"aiokafka"},
)
LAYERS = (
    *(CORE, JUDGING, ENGINE, DEVELOPMENT, MIRROR, COMPARISON, CATALOGUE, EDGE, ADMIN_OF_STREAMS),
    *(LIST, CHECK, ADMIN_OF_REDACTION),
)
"""The first that a module is in is its own. `eventstreams_site` and the commands are above all."""
ANYTHING = ("eventstreams_site", *PROCESS_ENTRIES)
MAY_USE_DEVELOPMENT = (*DEVELOPMENT.modules, *PROCESS_ENTRIES, "eventstreams_site.devserver")
WHERE_MODELS_ARE = {"streams.models": "streams.catalogue", "redaction.models": "redaction.listed"}
"""Django looks for models beside the packages that they are the tables of."""


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


def layer_of(module: str) -> Layer | None:
    """None for what may use everything."""
    if is_in(module, ANYTHING):
        return None
    return next((layer for layer in LAYERS if is_in(module, layer.modules)), None)


def breaches(module: str, source: str, is_package: bool = False) -> list[str]:
    """What a module imports and may not."""
    layer = layer_of(module)
    if layer is None:
        return []
    found = []
    for name in imports(module, source, is_package):
        top = name.partition(".")[0]
        if top in PACKAGES:
            allowed = is_in(name, layer.ours)
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


@cache
def uses() -> dict[str, set[str]]:
    """Our own modules, each with those of ours that it imports, wherever in it."""
    known = dict(modules())

    def module_of(name: str) -> str:
        while name and name not in known:
            name = name.rpartition(".")[0]
        return name

    found = {}
    for module, path in known.items():
        names = {module_of(name) for name in imports(module, path.read_text(), path.name == "__init__.py")}
        found[module] = names - {"", module}
    return found


def reached(module: str, graph: dict[str, set[str]]) -> dict[str, str]:
    """All that a module imports, directly or not, each with who imports it."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        user = waiting.pop()
        for used in graph.get(user, set()) - found.keys():
            found[used] = user
            waiting.append(used)
    return found


def test_no_layer_is_reached_by_a_detour() -> None:
    graph = uses()
    for module in graph:
        layer = layer_of(module)
        if layer is not None:
            above = {used: user for used, user in reached(module, graph).items() if not is_in(used, layer.ours)}
            assert above == {}, f"{module} reaches a layer above its own"


def test_every_module_has_a_layer() -> None:
    packages = ("streams", "redaction")
    names = [module for module, _ in modules() if module not in packages and ".migrations" not in module]
    assert [module for module in names if layer_of(module) is None and not is_in(module, ANYTHING)] == []


def test_nothing_in_production_uses_what_development_needs() -> None:
    for module, used in uses().items():
        if not is_in(module, MAY_USE_DEVELOPMENT):
            assert [name for name in used if is_in(name, DEVELOPMENT.modules)] == [], module


def test_no_modules_import_each_other_in_a_circle() -> None:
    direct = uses()
    graph = {}
    for module, used in direct.items():
        # Importing a module of a package first runs the package itself.
        parents = {parent for name in used for parent in parents_of(name) if parent in direct}
        graph[module] = used | {parent for parent in parents if not is_in(module, (parent,))}
    circles = [module for module in graph if module in reached(module, graph)]
    assert circles == []


def parents_of(module: str) -> Iterator[str]:
    while module := module.rpartition(".")[0]:
        yield module


def test_no_packages_import_each_other_in_a_circle() -> None:
    def package_of(module: str) -> str:
        return WHERE_MODELS_ARE.get(module, ".".join(module.split(".")[:2]))

    graph: dict[str, set[str]] = {}
    for module, used in uses().items():
        if not is_in(module, PROCESS_ENTRIES) and ".migrations" not in module:
            package = package_of(module)
            graph.setdefault(package, set()).update({package_of(name) for name in used} - {package})
    circles = [package for package in graph if package in reached(package, graph)]
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
        ("redaction.check.check", "from redaction.admin.listing import listing"),
        ("redaction.listed.changes", "from redaction.admin import pages"),
        ("redaction.admin.check_page", "from streams.http.service import Service"),
        ("streams.local.kafka", "from streams.catalogue import fetch"),
        ("streams.schemas.registry", "from streams.admin import process"),
        ("streams.admin.streams", "from redaction.models import RedactedPage"),
        ("streams.http.views", "from redaction.redactor import Redactor"),
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
