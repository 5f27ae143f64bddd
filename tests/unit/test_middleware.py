"""Django's part of the service, asked in ways that it would take amiss."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", ["/static/nope", "/static/", "/static/admin"])
def test_a_static_file_that_is_not_there_is_not_found(client: Client, settings: Any, debug: bool, path: str) -> None:
    settings.DEBUG = debug
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/_info", 200), ("/nothing", 404), ("/admin/", 400)])
@pytest.mark.parametrize("host", ["elsewhere.example", "event_streams"])
def test_only_the_admin_asks_under_which_name_it_is_called(
    client: Client, settings: Any, path: str, status: int, host: str
) -> None:
    settings.ALLOWED_HOSTS = ["here.example"]
    assert client.get(path, headers={"host": host}).status_code == status
