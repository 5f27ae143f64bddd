"""What is wrong with the service stands on each of its pages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from streams.admin.process import SERVICE_KEY
from streams.templatetags.streams_admin import trouble
from tests.support.admin import HISTORY, LIST, staff
from tests.support.admin.streams import GROUP, RUNS, STREAMS, page_of, process, service_client, stream, text_of

pytestmark = pytest.mark.django_db
AWAY = "Kafka cannot be reached: no broker answers"


def troubled(unready: list[str], degraded: list[str]) -> Any:
    return SimpleNamespace(**vars(process()), trouble=lambda: (unready, degraded))


def pages() -> list[str]:
    return [
        *(
            "/admin/",
            STREAMS,
            f"{STREAMS}add/",
            f"{STREAMS}history/",
            page_of(stream("a")),
            RUNS,
            LIST,
            f"{LIST}import/",
        ),
        *(HISTORY, "/admin/auth/user/", "/admin/password_change/"),
    ]


def admin(of: Any) -> Any:
    user = staff("ada", GROUP)
    user.is_superuser = True
    user.save()
    return service_client(user, of)


def test_every_page_says_that_the_process_is_degraded_and_why() -> None:
    client = admin(troubled([], [AWAY, "the list is old."]))
    for page in pages():
        text = text_of(client.get(page))
        assert f"The service has problems: {AWAY}. The list is old." in text, page
        assert "not ready" not in text


def test_every_page_says_that_the_process_is_not_ready_and_why() -> None:
    client = admin(troubled(["no stream configuration yet"], [AWAY]))
    for page in pages():
        said = f"The service is not ready to serve streams: No stream configuration yet. {AWAY}."
        assert said in text_of(client.get(page)), page


def test_where_nothing_is_wrong_nothing_is_said_nor_where_the_page_is_not_served_by_the_service() -> None:
    client = admin(troubled([], []))
    for page in pages():
        answer = client.get(page)
        assert 'class="trouble"' not in answer.content.decode(), page
    assert trouble({"request": RequestFactory().get("/admin/")}).sentences == []


def test_it_asks_no_database() -> None:
    request: Any = RequestFactory().get("/admin/")
    request.scope = {SERVICE_KEY: troubled([], [AWAY])}
    with CaptureQueriesContext(connection) as queries:
        assert trouble({"request": request}).sentences == [f"{AWAY}."]
    assert not queries
