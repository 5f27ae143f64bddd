"""What the Dockerfile and compose.yaml claim, as far as reading them can tell."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from streams.local.kafka_jars import KAFKA_VERSION

ROOT = Path(__file__).resolve().parents[2]
SECRET = re.compile(r"secret|password|passwd|token|key|credential", re.IGNORECASE)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, in order: (name in capitals, arguments), continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name.upper(), arguments.strip()) for name, arguments in lines]


def arguments_of(wanted: str) -> list[str]:
    return [arguments for name, arguments in instructions() if name == wanted]


def copied() -> list[str]:
    return [source for arguments in arguments_of("COPY") for source in shlex.split(arguments)[:-1]]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text()))


def command_of(argv: list[str]) -> str:
    assert argv[:2] == ["python", "manage.py"]
    return argv[2]


def test_the_service_does_not_run_as_root() -> None:
    names = [name for name, _ in instructions()]
    assert arguments_of("USER")[-1] not in ("root", "0")
    assert names.index("USER") < names.index("CMD")
    assert "USER" not in names[names.index("USER") + 1 :]


def test_no_secret_is_baked_into_the_image() -> None:
    settings = [word for arguments in arguments_of("ENV") + arguments_of("ARG") for word in shlex.split(arguments)]
    assert settings
    assert [setting for setting in settings if SECRET.search(setting)] == []


def test_no_secret_is_written_in_the_compose_file() -> None:
    named = [
        name
        for service in compose()["services"].values()
        for name in service.get("environment", {})
        if SECRET.search(name)
    ]
    assert named == []


def test_everything_that_is_copied_exists() -> None:
    assert copied()
    assert [source for source in copied() if not (ROOT / source).exists()] == []


def test_everything_that_is_copied_is_let_through_to_the_build_and_nothing_else_is() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_through = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert let_through == {source.rstrip("/") for source in copied()}
    assert not any(fnmatch.fnmatch(".local", rule) for rule in let_through)


@pytest.mark.parametrize("folder", ["eventstreams_site", "streams", "redaction", "templates", "config"])
def test_every_folder_that_the_service_needs_is_copied(folder: str) -> None:
    assert f"{folder}/" in copied()


def test_the_image_runs_a_management_command_that_exists_on_the_exposed_port() -> None:
    (command,) = arguments_of("CMD")
    argv = json.loads(command)
    assert command_of(argv) in get_commands()
    (port,) = arguments_of("EXPOSE")
    assert argv[argv.index("--port") + 1] == port
    assert argv[argv.index("--host") + 1] == "0.0.0.0"


def test_the_health_check_asks_healthz_on_the_exposed_port() -> None:
    (check,) = arguments_of("HEALTHCHECK")
    (port,) = arguments_of("EXPOSE")
    code = json.loads(check[check.index("CMD") + 3 :])[2]
    assert f"http://127.0.0.1:{port}/healthz" in code
    compile(code, "HEALTHCHECK", "exec")


def test_every_command_of_the_compose_file_exists() -> None:
    commands = [service["command"] for service in compose()["services"].values() if "command" in service]
    assert {command_of(argv) for argv in commands} == {"migrate", "demo_events"}
    assert {command_of(argv) for argv in commands} <= set(get_commands())


def test_compose_runs_the_version_of_kafka_that_the_tests_run() -> None:
    assert compose()["services"]["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_configuration_that_compose_names_is_in_the_image() -> None:
    path = Path(compose()["services"]["eventstreams"]["environment"]["EVENTSTREAMS_CONFIG"]).relative_to("/app")
    assert (ROOT / path).is_file()
    assert f"{path.parts[0]}/" in copied()
