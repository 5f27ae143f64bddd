"""Processes import what they need: the supervisor neither Django nor the engine, a worker nothing of documentation."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.site import ROOT

SUPERVISOR = """
import sys
from eventstreams_site.server.options import supervisor_options
from eventstreams_site.server import supervisor
print(*sys.modules)
"""
WORKER = """
import django
django.setup()
from eventstreams_site.server import server
import sys
print(*sys.modules)
"""
HEAVY = {"django", "aiokafka", "twisted", "daphne", "channels", "uvloop", "asyncio", "yaml", "streams", "redaction"}


def imported(code: str) -> set[str]:
    """The modules and packages that a process has after this code."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "eventstreams_site.settings", "DJANGO_DEBUG": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_supervisor_imports_neither_django_nor_the_engine() -> None:
    found = imported(SUPERVISOR)
    assert "eventstreams_site" in found
    assert found & HEAVY == set()


def test_a_worker_imports_what_makes_the_openapi_document_only_when_it_is_wanted() -> None:
    found = imported(WORKER)
    assert {"streams", "daphne"} <= found
    assert found & {"streams.http.openapi.document", "drf_spectacular.generators", "psycopg"} == set()
