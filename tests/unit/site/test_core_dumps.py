"""Nothing writes a server's memory to disk, and a server only starts with a database that somebody named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from tests.support.site import ROOT, migrated_database

# What PR_GET_DUMPABLE (3) says, and the limit, of the process and of one that it forks.
SHOW = """
import ctypes, os, resource, sys
from eventstreams_site.core_dumps import forbid_core_dumps

def show():
    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)

before = show()[0]
forbid_core_dumps()
if os.fork() == 0:
    print("forked", *show(), flush=True)
    os._exit(0)
os.wait()
print("itself", *show(), "before", before)
"""
# `manage.py serve` up to where it would listen.
SERVE = """
import ctypes
import django
django.setup()
from django.core.management import CommandError, call_command
import uvloop
uvloop.install()  # before anything imports the reactor
from eventstreams_site.server import server

def serve(*arguments, **options):
    print("serves", ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))

server.serve = serve
try:
    call_command("serve")
except CommandError as error:
    print(error)
"""


def run(code: str, environ: Mapping[str, str]) -> str:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVENTSTREAMS_", "DJANGO_", "DATABASE_URL"))
    }
    settings = {"DJANGO_SETTINGS_MODULE": "eventstreams_site.settings", **environ}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**kept, **settings}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_core_is_dumped_of_the_process_nor_of_one_that_it_forks() -> None:
    said = run(SHOW, {}).splitlines()
    assert said == ["forked 0 (0, 0)", "itself 0 (0, 0) before 1"]


def test_the_server_does_not_start_without_a_database_unless_it_is_for_development() -> None:
    refused = run(SERVE, {"DJANGO_SECRET_KEY": "k"})
    assert refused.startswith("DATABASE_URL is not set. The list of redacted pages is in the database")
    assert run(SERVE, {"DJANGO_SECRET_KEY": "k", "DATABASE_URL": f"sqlite:///{migrated_database()}"}) == "serves 0\n"
    assert run(SERVE, {"DJANGO_DEBUG": "1"}) == "serves 0\n"
