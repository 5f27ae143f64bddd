"""While the database is away, the admin answers browsers with a page, programs with problem+json: no traceback."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from streams.local.processes import free_port
from tests.support.site import Site

SESSION = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"}
PATHS = ("/admin/", "/admin/streams/configuredstream/", "/admin/redaction/redactedpage/add/", "/admin/login/")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, "127.0.0.1:1", {}, database=f"postgres://nobody@127.0.0.1:{free_port()}/none")


def test_a_browser_gets_a_page_and_a_program_gets_a_problem(site: Site) -> None:
    try:
        site.start(wait_ready=False).wait_for(200, "/healthz")
        for path in PATHS:
            status, headers, body = site.get(path, {**SESSION, "Accept": "text/html,*/*;q=0.8"})
            assert status == 503, path
            assert headers["content-type"].startswith("text/html")
            assert b"<h1" in body
            assert b"Traceback" not in body
            assert b"psycopg" not in body
            status, headers, body = site.get(path, {**SESSION, "Accept": "application/json"})
            assert (status, headers["content-type"]) == (503, "application/problem+json")
            assert json.loads(body)["type"] == "database_unavailable"
        deadline = time.monotonic() + 30
        while b"not been read yet: the database does not answer" not in (said := site.get("/readyz")[2]):
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
    finally:
        site.close()
