"""Migrations: a server does not start without them, and each leaves the version before it working."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.around.postgres import Postgres
from tests.support.site import ROOT, SERVE, Site

PREVIOUS_VERSION = ("-m", "tests.support.site.previous_version")


def run(site: Site, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=site.django_env, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_each_migration_leaves_the_version_before_it_working(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The models as they were before a migration write, read, change and delete rows of the tables after it."""
    url = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.create_database(migrated=False)
    done = run(Site(tmp_path, "127.0.0.1:1", {}, database=url), *PREVIOUS_VERSION)
    assert done.returncode == 0, done.stderr[-2000:]
    looks = dict(re.findall(r"^(\w+\.\d{4})_\w+ (\d+)$", done.stdout, re.MULTILINE))
    assert int(looks["streams.0005"]) >= 3
    assert int(looks["redaction.0004"]) >= 2


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_a_server_names_the_migrations_that_its_database_lacks(workers: tuple[str, ...], tmp_path: Path) -> None:
    site = Site(tmp_path, "127.0.0.1:1", {})
    with sqlite3.connect(site.database) as database:
        database.execute("DELETE FROM django_migrations WHERE app = 'streams' AND name LIKE '0005%'")
    database.close()
    done = run(site, *SERVE, "--port", "0", *workers)
    assert done.returncode == 1
    said = "The database lacks 1 migrations (streams.0005_source_lease); run `manage.py migrate` first"
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_check_for_deployments_finds_nothing_in_an_environment_as_in_production(tmp_path: Path) -> None:
    site = Site(tmp_path, "127.0.0.1:1", {})
    key = {"DJANGO_SECRET_KEY": "".join(chr(33 + 7 * number % 90) for number in range(80))}
    done = site.manage("check", "--deploy", "--fail-level", "WARNING", **key)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
    weak = site.manage("check", "--deploy", "--fail-level", "WARNING", DJANGO_SECRET_KEY="short")
    assert "security.W009" in weak.stderr, "what matters is not silenced"
