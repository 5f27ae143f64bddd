"""What the Dockerfile and compose.yaml claim, as far as reading them can tell."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from eventstreams_site.config.settings import SETTINGS, Config
from streams.http.about import DESCRIPTION, NAME, VERSION
from streams.local.kafka_jars import KAFKA_VERSION
from streams.management.commands.mirror import CONTACT_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = ROOT / "CHANGELOG.md"
HEALTHCHECK = ROOT / "deploy" / "docker" / "healthcheck"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
SECRET = re.compile(r"secret|password|passwd|token|key|credential", re.IGNORECASE)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, in order: (name in capitals, arguments), continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name.upper(), arguments.strip()) for name, arguments in lines]


def arguments_of(wanted: str) -> list[str]:
    return [arguments for name, arguments in instructions() if name == wanted]


def copied() -> list[str]:
    from_here = [arguments for arguments in arguments_of("COPY") if not arguments.startswith("--from")]
    return [source for arguments in from_here for source in shlex.split(arguments)[:-1]]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text()))


def command_of(argv: list[str]) -> str:
    assert argv[:2] == ["python", "manage.py"]
    return argv[2]


def serve_options(argv: list[str]) -> dict[str, str]:
    assert command_of(argv) == "serve"
    return dict(zip(argv[3::2], argv[4::2], strict=True))


def test_the_service_runs_as_a_user_that_is_a_number_and_not_root() -> None:
    names = [name for name, _ in instructions()]
    (user,) = arguments_of("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert "RUN" not in names[names.index("USER") :]


def test_the_base_is_given_when_it_is_built_and_no_digest_is_invented() -> None:
    assert [base.split()[0] for base in arguments_of("FROM")] == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    assert arguments_of("ARG") == ["PYTHON_IMAGE"]
    assert not re.search(r"sha256:[0-9a-f]", (ROOT / "Dockerfile").read_text())


def test_make_image_looks_the_digest_up() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "imagetools inspect" in makefile
    assert "--build-arg PYTHON_IMAGE=" in makefile


def test_requirements_are_installed_by_hash() -> None:
    (run,) = [arguments for arguments in arguments_of("RUN") if "pip install" in arguments]
    assert "--require-hashes" in run


def test_the_last_stage_starts_anew_and_takes_no_pip_along() -> None:
    assert [base.split()[1:] for base in arguments_of("FROM")] == [["AS", "build"], []]
    (run,) = [arguments for arguments in arguments_of("RUN") if "pip uninstall" in arguments]
    assert run.endswith("pip setuptools")


def test_the_image_stops_by_the_signal_that_drains() -> None:
    assert arguments_of("STOPSIGNAL") == ["SIGTERM"]


def test_the_image_says_what_it_is() -> None:
    (labels,) = arguments_of("LABEL")
    found = dict(each.split("=", 1) for each in shlex.split(labels))
    prefix = "org.opencontainers.image."
    assert found == {prefix + "title": NAME, prefix + "description": DESCRIPTION, prefix + "version": VERSION}


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


def test_the_image_runs_a_management_command_that_exists_on_the_exposed_ports() -> None:
    (command,) = arguments_of("CMD")
    options = serve_options(json.loads(command))
    assert arguments_of("EXPOSE") == [f"{options['--port']} {options['--ops-port']}"]
    assert options["--host"] == options["--ops-host"] == "0.0.0.0"


def test_the_health_check_asks_the_operations_port_without_a_python() -> None:
    (check,) = arguments_of("HEALTHCHECK")
    (command,) = arguments_of("CMD")
    argv = json.loads(check[check.index("CMD") + 3 :])
    assert argv == ["healthcheck", "127.0.0.1", serve_options(json.loads(command))["--ops-port"]]
    assert "deploy/docker/healthcheck /usr/local/bin/healthcheck" in arguments_of("COPY")
    assert HEALTHCHECK.read_text().startswith("#!/bin/bash\n")


@pytest.mark.parametrize(
    ("answered", "status"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nok", 0),
        (b"HTTP/1.1 200 OK\r\n\r\n", 0),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n 200 ", 1),
        (b"", 1),
        (None, 1),
    ],
)
def test_the_health_check_tells_a_service_that_lives(answered: bytes | None, status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if answered is None:
            listener.close()
        else:

            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    asked = b""
                    while not asked.endswith(b"\r\n\r\n"):
                        asked += connection.recv(1000)
                    assert asked.startswith(b"GET /healthz HTTP/1.0\r\n")
                    connection.sendall(answered)

            threading.Thread(target=serve).start()
        done = subprocess.run([HEALTHCHECK, "127.0.0.1", str(port)], timeout=10, check=False, capture_output=True)
    assert done.returncode == status


def test_the_release_is_described() -> None:
    assert re.search(rf"^## \[{re.escape(VERSION)}\]\n\n### Upgrade notes$", CHANGELOG.read_text(), re.MULTILINE)
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "streams.http.about.VERSION"
    }


def ours() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml that run our image."""
    return {name: service for name, service in compose()["services"].items() if service["image"] == "eventstreams"}


def test_every_command_of_the_compose_file_exists_and_takes_its_options() -> None:
    commands = {name: service["command"] for name, service in ours().items()}
    assert {command_of(argv) for argv in commands.values()} == {"migrate", "serve", "demo_events", "mirror"}
    for argv in commands.values():
        command = load_command_class(get_commands()[command_of(argv)], command_of(argv))
        command.create_parser("manage.py", command_of(argv)).parse_args(argv[3:])  # a wrong option exits


def test_every_variable_of_the_compose_file_is_one_that_the_service_reads() -> None:
    keys = {f"EVENTSTREAMS_{setting.name.upper()}" for setting in SETTINGS}
    known = keys | {"EVENTSTREAMS_CONFIG", CONTACT_VARIABLE, "DATABASE_URL", "DJANGO_DEBUG"}
    assert {name for service in ours().values() for name in service["environment"]} <= known


def test_compose_waits_longer_than_a_drain_takes_and_the_service_starts_again() -> None:
    service = compose()["services"]["eventstreams"]
    assert float(service["stop_grace_period"].removesuffix("s")) > Config().drain_seconds + 3
    assert service["ulimits"]["nofile"] > Config().max_connections
    lasting = {name: service for name, service in compose()["services"].items() if name != "migrate"}
    assert {service["restart"] for service in lasting.values()} == {"unless-stopped"}


def test_compose_runs_two_workers_without_anything_that_they_could_write_to() -> None:
    assert serve_options(ours()["eventstreams"]["command"])["--workers"] == "2"
    assert all(service["read_only"] and "volumes" not in service for service in ours().values())


def test_only_nginx_is_reached_from_outside_and_only_from_this_machine() -> None:
    ports = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert ports == {"nginx": ["127.0.0.1:8092:8080"]}


def test_docker_compose_up_starts_the_demo_and_a_choice_starts_the_mirror() -> None:
    by_choice = {name: service["profiles"] for name, service in compose()["services"].items() if "profiles" in service}
    assert by_choice == {"demo": ["demo"], "mirror": ["mirror"]}
    assert (ROOT / ".env").read_text().splitlines()[-1] == "COMPOSE_PROFILES=demo"


def test_everything_that_compose_waits_for_can_be_waited_for() -> None:
    services = compose()["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            is_checked = "healthcheck" in services[name] or name == "eventstreams"  # which has the image's
            assert (wait["condition"] == "service_healthy") == is_checked or name == "migrate"


@pytest.mark.skipif(NGINX is None and "CI" not in os.environ, reason="nginx is missing: `make packages` installs it")
def test_nginx_accepts_its_configuration_and_does_not_buffer(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "compose" / "nginx.conf").read_text()
    assert "proxy_buffering off;" in text
    assert "proxy_set_header X-Client-IP $remote_addr;" in text
    assert "server eventstreams:8092;" in text  # a name that only compose knows
    path = tmp_path / "nginx.conf"
    path.write_text(text.replace("eventstreams:8092", "127.0.0.1:8092").replace("/tmp/", f"{tmp_path}/"))
    assert NGINX is not None
    done = subprocess.run([NGINX, "-t", "-c", path], timeout=30, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_compose_runs_the_version_of_kafka_that_the_tests_run() -> None:
    assert compose()["services"]["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_configuration_that_compose_names_is_in_the_image() -> None:
    path = Path(compose()["services"]["eventstreams"]["environment"]["EVENTSTREAMS_CONFIG"]).relative_to("/app")
    assert (ROOT / path).is_file()
    assert f"{path.parts[0]}/" in copied()
