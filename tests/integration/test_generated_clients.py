"""Clients that programs make of the OpenAPI document: each is generated, type-checked, and reads events."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from streams.engine.kafka.options import IN_MEMORY
from streams.local.kafka_jars import NoLocalKafkaError, find_java
from tests.support.around.chromium import skip
from tests.support.site import ROOT, Site

PROGRAMS = ROOT / "tests" / "data" / "generated"
PACKAGES = ROOT / "tests" / "browser" / "node_modules"
GENERATOR = ROOT / ".local" / "openapi-generator-cli-7.25.0.jar"
CONFIG = ROOT / "config"
SECONDS = 120
JSON = {"Accept": "application/json"}
RECENT = "/v2/stream/mediawiki.recentchange"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The streams that ship, with an hour of the demo's events in memory."""
    settings = yaml.safe_load((CONFIG / "development.yaml").read_text())
    site = Site(
        tmp_path_factory.mktemp("generated"),
        IN_MEMORY,
        yaml.safe_load((CONFIG / "streams.yaml").read_text())["streams"],
        schema_base_uris=[str(CONFIG / "schemas")],
        mediawiki_redacted_pages=settings["mediawiki_redacted_pages"],
    )
    try:
        yield site.start()
    finally:
        site.close()


@pytest.fixture(scope="module")
def arguments() -> tuple[str, str, str]:
    """A minute of the past, and a title that is redacted."""
    now = int(time.time() * 1000)
    (titles,) = yaml.safe_load((CONFIG / "development.yaml").read_text())["mediawiki_redacted_pages"].values()
    return str(now - 600_000), str(now - 540_000), titles[0]


@pytest.fixture(scope="module")
def expected(site: Site, arguments: tuple[str, str, str]) -> dict[str, Any]:
    """What each program should have read, by the server's own word."""
    since, until, title = arguments

    def read(path: str, **query: str) -> list[Any]:
        status, _, body = site.get(f"{path}?{urlencode(query)}", JSON)
        assert status == 200
        return [json.loads(line) for line in body.splitlines() if line]

    (one,) = read(RECENT, since=since, limit="1", type="edit")
    many = read(RECENT, since=since, until=until, wiki="enwiki,dewiki", where="length.new>100")
    (logged,) = read(RECENT, since=since, limit="1", where="log_params")
    (redacted,) = read("/v2/stream/mediawiki.page_change.v1", since="0", limit="1", title=title)
    assert len(many) > 3
    assert redacted["performer"] == {}
    return {
        "one": one["meta"]["offset"],
        "many": [each["meta"]["offset"] for each in many],
        "logged": [logged["meta"]["offset"], logged["log_params"]],
        "redacted": [redacted["meta"]["offset"], title.replace(" ", "_"), {}],
        "error": [400, "invalid_timestamp"],
    }


@pytest.fixture(scope="module")
def document(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With all schemas."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        path.write_bytes(site.get("/?spec")[2])
        if "mediawiki.recentchange.1.0.1" in json.loads(path.read_text())["components"]["schemas"]:
            return path
        time.sleep(0.05)
    raise AssertionError(site.log.read_text())


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command of a generator or a program; what it printed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def reads(site: Site, arguments: tuple[str, str, str], expected: dict[str, Any]) -> Callable[..., None]:
    """Hold what a program reads against what it should."""

    def check(folder: Path, *command: str | Path) -> None:
        assert json.loads(run([*command, site.url, *arguments], folder)) == expected

    return check


def test_a_client_of_openapi_python_client(document: Path, tmp_path: Path, reads: Callable[..., None]) -> None:
    command = "openapi-python-client generate --meta none --fail-on-warning --output-path made --path"
    run([*command.split(), document], tmp_path)
    program = shutil.copy(PROGRAMS / "openapi_python_client.py", tmp_path / "program.py")
    # The client's own base, `client.py`, is the same for every document, and mypy does not accept it.
    run([sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", "program.py", "made/api"], tmp_path)
    reads(tmp_path, sys.executable, program)


@pytest.mark.slow
def test_a_client_of_openapi_typescript(document: Path, tmp_path: Path, reads: Callable[..., None]) -> None:
    if not (PACKAGES / "openapi-typescript").is_dir():
        skip("needs openapi-typescript: run `make axe`, for which npm must be installed")
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    run([PACKAGES / ".bin" / "openapi-typescript", document, "--output", "made.d.ts"], tmp_path)
    program = shutil.copy(PROGRAMS / "openapi_typescript.mts", tmp_path / "program.mts")
    options = "--strict --target es2023 --module nodenext --lib es2023,dom,dom.asynciterable --types --outDir out"
    options += " --allowImportingTsExtensions --rewriteRelativeImportExtensions"
    run([PACKAGES / ".bin" / "tsc", *options.split(), program], tmp_path)
    reads(tmp_path, "node", "out/program.mjs")


@pytest.mark.slow
def test_a_client_of_openapi_generator(document: Path, tmp_path: Path, reads: Callable[..., None]) -> None:
    if not GENERATOR.exists():
        skip("needs openapi-generator: run `make generator`, for which Maven must be installed")
    try:
        java = find_java()
    except NoLocalKafkaError as error:
        skip(str(error))
    said = run([java, "-jar", GENERATOR, "generate", "-g", "python", "-o", "made", "-i", document], tmp_path)
    assert "ERROR" not in said, said
    run([sys.executable, "-m", "compileall", "-q", "made/openapi_client"], tmp_path)
    reads(tmp_path / "made", sys.executable, "-c", f"exec(open({str(PROGRAMS / 'openapi_generator.py')!r}).read())")
