"""What the documents say of the code, as far as it can be looked up there."""

from __future__ import annotations

import ast
import builtins
import json
import re
import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from eventstreams_site.config.settings import SETTINGS
from streams.core import errors

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md") if path.name != "licences.md"),
]
SVG = "{http://www.w3.org/2000/svg}"


def _rows(text: str) -> dict[str, list[str]]:
    """The tables' rows by the name in their first cell, as `name`; what follows the name there is left out."""
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| `") else []
        if cells:
            name = re.match(r"`([^`]+)`", cells[0].removeprefix("| "))
            assert name, line
            rows[name[1]] = [cell.strip("| ") for cell in cells[1:]]
    return rows


def test_the_readmes_table_of_settings_is_that_of_the_code() -> None:
    table = README.partition("\n| key | default | what |\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [setting.row for setting in SETTINGS]


def test_every_variable_that_the_settings_read_is_in_the_readme() -> None:
    source = (ROOT / "eventstreams_site" / "settings.py").read_text()
    read = set(re.findall(r'"((?:DJANGO|DATABASE)_[A-Z_]+)"', source))
    assert "DJANGO_SECRET_KEY" in read
    assert read | {"EVENTSTREAMS_CONFIG"} <= _rows(README).keys()


def test_every_error_that_clients_are_told_of_is_in_the_wire_document() -> None:
    wire = (ROOT / "docs" / "wire.md").read_text()
    told = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.EventStreamsError) and "type" in vars(kind)
    ]
    assert len(told) > 10
    table = wire.partition("| status | type | when |")[2].partition("\n\n")[0].splitlines()
    for kind in {error.type: error for error in told}.values():
        assert any(line.startswith(f"| {kind.status} |") and f"`{kind.type}`" in line for line in table), kind.type


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_paths_lead_somewhere(document: str) -> None:
    path = ROOT / document
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (path.parent / target).exists(), target
    # Code is named by its path, or by the end of one.
    for name in re.findall(r"`([\w/]+\.(?:py|yaml|md)|[\w/]+/)`", text):
        if not name.startswith(".") and not name.startswith("/"):
            found = (ROOT / name).exists() or any(ROOT.glob(f"[!.]*/**/{name}"))
            assert found, f"{document} names {name}"


def _commands(text: str) -> list[list[str]]:
    """What follows `manage.py` in code, up to the end of the command; lines that end with a backslash are one."""
    found = re.findall(r"manage\.py (\w[^`\n|)]*)", re.sub(r"\\\n\s*", " ", text))
    return [re.split(r"\s+", each.partition(" #")[0].strip()) for each in found]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_names_exists_and_knows_the_options(document: str) -> None:
    text = (ROOT / document).read_text()
    known = get_commands()
    for name, *words in _commands(text):
        assert name in known, name
        app = known[name]
        command = load_command_class(app, name) if isinstance(app, str) else app
        options = command.create_parser("manage.py", name)._option_string_actions
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in options, f"{name} {word}"
    makefile = (ROOT / "Makefile").read_text()
    for targets in re.findall(r"(?:^    |`)make ((?:[\w-]+(?![\w=-]) ?)+)", text, re.MULTILINE):
        for target in targets.split():
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists() or find_spec(module), module


def test_an_option_on_the_next_line_is_an_option_of_the_command() -> None:
    text = "    manage.py mirror URL \\\n      --stream a  # with no --option\nThen `manage.py serve --port 1` runs."
    assert _commands(text) == [["mirror", "URL", "--stream", "a"], ["serve", "--port", "1"]]


def test_the_readme_names_every_package_and_every_document() -> None:
    where = README.partition("## Where things are")[2].partition("\n## ")[0]
    django = {"migrations", "templatetags"}
    for top in ("streams", "redaction", "eventstreams_site"):
        for path in (ROOT / top).rglob("__init__.py"):
            folder = path.parent.relative_to(ROOT)
            name = f"{folder.name}/" if folder.name in django or len(folder.parts) > 2 else f"{folder}/"
            assert name in where, f"{folder} is not in the README's “Where things are”"
    for document in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{document.name})" in where, document.name
    commands = {path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")}
    assert commands <= set(re.findall(r"`(\w+)`", where))


FOREIGN = {
    *dir(builtins),
    *("AIOKafkaConsumer", "Server", "asyncio.Queue", "assign", "http.disconnect", "receive", "send"),
    *("TCP_NOTSENT_LOWAT", "TCP_USER_TIMEOUT", "Accept", "Vary", "only"),
}
"""Names in the architecture that are not ours: Python's, of libraries, the kernel and the protocols."""


def _stored(tree: ast.AST) -> set[str]:
    """What is defined there: classes, functions, variables and attributes."""
    named = {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}
    variables = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return named | variables | attributes


def _undefined(text: str) -> set[str]:
    """The names in a document that no source defines; of `Class.member`, the class must define the member."""
    every: set[str] = set()
    members: dict[str, set[str]] = {}
    for folder in ("streams", "eventstreams_site", "redaction"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text())
            every |= _stored(tree) | {path.stem}
            texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
            every |= {text for text in texts if isinstance(text, str) and text.startswith("eventstreams_")}  # metrics
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    members.setdefault(node.name, set()).update(_stored(node))
    undefined = set()
    for owner, name in re.findall(r"`(?:(\w+)\.)?(_?[A-Za-z]\w+)(?:\([^`]*\))?`", text):
        whole = f"{owner}.{name}" if owner else name
        if name not in members.get(owner, every) and name != "py" and whole not in FOREIGN:
            undefined.add(whole)
    return undefined


def test_what_the_architecture_calls_by_name_is_defined() -> None:
    assert _undefined((ROOT / "docs" / "architecture.md").read_text()) == set()


def test_a_name_that_is_only_a_word_somewhere_in_the_sources_is_not_taken_for_defined() -> None:
    assert _undefined("`Feed.entry`, `Feed`, `entry()`, `hub.py`, `Ring.floor`") == set()
    assert _undefined("`Feed.floor`, `silence`, `Ring.gone()`") == {"Feed.floor", "silence", "Ring.gone"}


def test_the_picture_stands_on_its_own_in_light_and_dark() -> None:
    text = (ROOT / "docs" / "overview.svg").read_text()
    picture = ElementTree.fromstring(text)
    assert picture.tag == f"{SVG}svg"
    assert picture.findtext(f"{SVG}title")
    assert picture.findtext(f"{SVG}desc")
    assert "prefers-color-scheme: dark" in text
    assert "@font-face" not in text
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#head"}
    assert "href" not in text


def test_every_example_is_linked_in_the_document_of_clients() -> None:
    clients = (ROOT / "docs" / "clients.md").read_text()
    examples = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "examples").rglob("*")
        if path.suffix in {".sh", ".py", ".mjs", ".html"} and "node_modules" not in path.parts
    }
    assert len(examples) == 8
    assert set(re.findall(r"\]\(\.\./(examples/[^)]+)\)", clients)) == examples


def test_the_document_of_clients_speaks_of_the_versions_that_are_tested() -> None:
    clients = (ROOT / "docs" / "clients.md").read_text()
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "requirements-dev.in").read_text(), re.MULTILINE))
    package = json.loads((ROOT / "examples" / "node-eventsource" / "package.json").read_text())
    of_clients = {name: pinned[name] for name in ("requests-sse", "httpx-sse", "pywikibot")} | package["dependencies"]
    assert dict(re.findall(r"`([\w-]+)` ([0-9][\w.]+[0-9])", clients)) == of_clients


def test_the_document_of_the_way_over_names_every_key_of_the_old_service() -> None:
    text = (ROOT / "docs" / "migrating.md").read_text()
    named = {key for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    old = yaml.safe_load((ROOT / "tests" / "data" / "config.production.yaml").read_text())
    old |= yaml.safe_load((ROOT / "tests" / "data" / "values.production.yaml").read_text())["config"]["conf"]
    assert len(old) > 10
    assert old.keys() <= named
    assert named <= {setting.name for setting in SETTINGS} | {"id"}
