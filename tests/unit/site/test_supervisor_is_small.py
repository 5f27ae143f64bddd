"""The supervisor lives as long as the service: it imports neither Django nor the engine, nor an event loop."""

from __future__ import annotations

import subprocess
import sys

from tests.support.site import ROOT

CODE = """
import sys
from eventstreams_site.server.options import supervisor_options
from eventstreams_site.server import supervisor
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {"django", "aiokafka", "twisted", "daphne", "channels", "uvloop", "asyncio", "yaml", "streams", "redaction"}


def test_the_supervisor_imports_neither_django_nor_the_engine() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert "eventstreams_site" in found
    assert found & HEAVY == set()
