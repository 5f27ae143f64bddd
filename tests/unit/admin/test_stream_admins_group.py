"""The group of stream admins is made by migration, once, on any database."""

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

def group():
    found = Group.objects.get(name="stream admins")
    permissions = found.permissions.values_list("codename", flat=True)
    return sorted(permissions), sorted(found.user_set.values_list("username", flat=True))

if sys.argv[1] == "existing":
    migrate("streams", "0002")
    migrate("auth")
    migrate("contenttypes")
    Group.objects.create(name="stream admins").user_set.add(User.objects.create(username="ada"))
migrate()
first = group()
migrate("streams", "0002")
migrate()
assert group() == first, first
print(*first[0], "|", *first[1])
"""


@pytest.mark.parametrize(
    ("database", "members"), [pytest.param("fresh", "", marks=pytest.mark.slow), ("existing", "ada")]
)
def test_the_group_is_made_on_any_database_once(database: str, members: str, tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "DJANGO_SETTINGS_MODULE": "eventstreams_site.settings",
        "DJANGO_SECRET_KEY": "k",
    }
    command = [sys.executable, "-c", MIGRATE, database]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    permissions, _, names = done.stdout.strip().partition(" |")
    assert permissions.split() == [
        "add_configuredstream",
        "change_configuredstream",
        "delete_configuredstream",
        "sync",
        "view_configuredstream",
        "view_syncrun",
    ]
    assert names.strip() == members
