"""The groups of both admins are made by migration, once, on any database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

MIGRATE = """
import sys
import django
django.setup()
from django.contrib.auth.models import Group, User
from django.core.management import call_command

def migrate(*arguments):
    call_command("migrate", *arguments, verbosity=0, interactive=False)

database, app, before, name = sys.argv[1:]

def group():
    found = Group.objects.get(name=name)
    permissions = found.permissions.values_list("codename", flat=True)
    return sorted(permissions), sorted(found.user_set.values_list("username", flat=True))

if database == "existing":
    migrate(app, before)
    migrate("auth")
    migrate("contenttypes")
    Group.objects.create(name=name).user_set.add(User.objects.create(username="ada"))
migrate()
first = group()
migrate()
assert group() == first, first
migrate(app, before)
migrate()
assert group() == first, first
print(*first[0], "|", *first[1])
"""


STREAMS = (
    "add_configuredstream",
    "change_configuredstream",
    "delete_configuredstream",
    "sync",
    "view_configuredstream",
    "view_syncrun",
)
REDACTION = ("add_redactedpage", "delete_redactedpage", "view_pagechange", "view_redactedpage")


@pytest.mark.parametrize(
    ("app", "before", "name", "permissions"),
    [("streams", "0002", "stream admins", STREAMS), ("redaction", "0001", "redaction admins", REDACTION)],
)
@pytest.mark.parametrize(
    ("database", "members"), [pytest.param("fresh", "", marks=pytest.mark.slow), ("existing", "ada")]
)
def test_the_group_is_made_on_any_database_once(
    app: str, before: str, name: str, permissions: tuple[str, ...], database: str, members: str, tmp_path: Path
) -> None:
    environ = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "DJANGO_SETTINGS_MODULE": "eventstreams_site.settings",
        "DJANGO_SECRET_KEY": "k",
    }
    command = [sys.executable, "-c", MIGRATE, database, app, before, name]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    given, _, names = done.stdout.strip().partition(" |")
    assert tuple(given.split()) == permissions
    assert names.strip() == members
