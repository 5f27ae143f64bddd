"""Django's settings out of the environment: each case in its own process, since settings are read once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]

SHOW = """
import json, sys
from django.conf import settings
import django
django.setup()
assert "eventstreams_site.config.config" not in sys.modules
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))
"""


def run(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = ("DJANGO_", "DATABASE_URL", "EVENTSTREAMS_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ |= {"DJANGO_SETTINGS_MODULE": "eventstreams_site.settings", **variables}
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)


def show(*names: str, **variables: str) -> dict[str, Any]:
    done = run(SHOW, *names, **variables)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("debug", ["", *(pytest.param(off, marks=pytest.mark.slow) for off in ("false", "0"))])
def test_without_a_secret_key_the_server_refuses_to_start_and_says_how_to_make_one(debug: str) -> None:
    done = run(SHOW, DJANGO_DEBUG=debug)
    assert done.returncode != 0
    assert "ImproperlyConfigured: DJANGO_SECRET_KEY is not set. Make one with `python -c" in done.stderr
    assert "secrets.token_urlsafe" in done.stderr


def test_with_a_secret_key_the_settings_are_those_of_production_and_all_apps_load() -> None:
    settings = show(
        "DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "APPEND_SLASH",
        "USE_TZ", "INSTALLED_APPS", DJANGO_SECRET_KEY="k" * 60,
    )  # fmt: skip
    assert settings["SECRET_KEY"] == "k" * 60
    assert settings["ALLOWED_HOSTS"] == ["*"]
    assert {"streams", "redaction"} <= set(settings["INSTALLED_APPS"])
    assert [settings[name] for name in ("DEBUG", "APPEND_SLASH")] == [False, False]
    assert [settings[name] for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "USE_TZ")] == [True, True, True]


def test_with_debug_on_a_key_of_its_own_is_not_needed_and_only_local_hosts_are_answered() -> None:
    settings = show("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "SESSION_COOKIE_SECURE", DJANGO_DEBUG="true")
    assert settings["DEBUG"] is True
    assert settings["SECRET_KEY"].startswith("django-insecure-")
    assert settings["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert settings["SESSION_COOKIE_SECURE"] is False


@pytest.mark.slow
def test_the_hosts_are_a_list_separated_by_commas_whose_https_origins_are_trusted() -> None:
    settings = show(
        "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", DJANGO_SECRET_KEY="k", DJANGO_ALLOWED_HOSTS="a.org, .b.org,"
    )
    assert settings["ALLOWED_HOSTS"] == ["a.org", ".b.org"]
    assert settings["CSRF_TRUSTED_ORIGINS"] == ["https://a.org", "https://*.b.org"]


@pytest.mark.slow
def test_the_database_is_a_file_of_the_project_unless_the_environment_names_another() -> None:
    default = show("DATABASES", DJANGO_DEBUG="1")["DATABASES"]["default"]
    assert default["ENGINE"] == "django.db.backends.sqlite3"
    assert default["NAME"] == str(ROOT / ".local" / "eventstreams.sqlite3")
    named = show("DATABASES", DJANGO_DEBUG="1", DATABASE_URL="sqlite:////var/db/x.sqlite3")["DATABASES"]["default"]
    assert named["NAME"] == "/var/db/x.sqlite3"


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:s3cr3t@h/x", "postgres://u:s3cr3t/x@h:y:z/x"])
def test_a_database_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    done = run(SHOW, DJANGO_DEBUG="1", DATABASE_URL=url)
    assert "ImproperlyConfigured: DATABASE_URL is not a database URL" in done.stderr
    assert "s3cr3t" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [("DJANGO_DEBUG", "maybe"), ("DJANGO_LOG_LEVEL", "loud"), ("DJANGO_ALLOWED_HOSTS", "a.org,https://b.org")],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    done = run(SHOW, **{"DJANGO_SECRET_KEY": "k", name: value})
    assert f"ImproperlyConfigured: {name} " in done.stderr


LOG = """
import django, logging
django.setup()
logging.getLogger("streams").info("one\\ntwo")
logging.getLogger("streams").debug("hidden")
logging.getLogger("django.request").warning("asked")
logging.getLogger("aiokafka.conn").error("said at each try")
logging.getLogger("daphne.server").warning("grave")
"""


@pytest.mark.slow
def test_the_log_goes_to_stderr_one_line_a_record_and_libraries_only_when_it_is_grave() -> None:
    done = run(LOG, DJANGO_DEBUG="1")
    assert done.stdout == ""
    lines = [re.sub(r" \d+ ", " ", line.split(" ", 2)[2], count=1) for line in done.stderr.splitlines()]  # the pid
    assert lines == ["INFO streams: one\\ntwo", "WARNING daphne.server: grave"]


@pytest.mark.slow
def test_the_level_of_the_log_is_taken_from_the_environment() -> None:
    done = run(LOG, DJANGO_DEBUG="1", DJANGO_LOG_LEVEL="debug")
    assert re.search(r" DEBUG \d+ streams: hidden", done.stderr)
    assert "chatter" not in done.stderr


def test_a_server_without_a_secret_key_says_so_in_a_sentence_and_stops() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    done = subprocess.run([sys.executable, "manage.py", "serve"], env=environ, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 3
    assert done.stderr.startswith("DJANGO_SECRET_KEY is not set. Make one with ")
    assert "Traceback" not in done.stderr
