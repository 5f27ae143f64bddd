"""Who may see the status: staff, and, while the database is away, who has just been looking at it."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core import signing
from django.db import InterfaceError, OperationalError
from django.test import Client, RequestFactory
from django.urls import set_script_prefix

from streams.admin import status
from streams.admin.process import SERVICE_KEY
from tests.support.admin import client_of, staff
from tests.support.admin.streams import process, service_client, text_of

PAGE, JSON = "/admin/status/", "/admin/status.json"
FOUND = {"state": "degraded", "problems": ["kafka cannot be reached"]}


async def found() -> dict[str, Any]:
    return dict(FOUND)


def served(**parts: Any) -> Any:
    return SimpleNamespace(**vars(process()), **{"status": found, "behind": dict} | parts)


@pytest.mark.django_db
def test_staff_of_no_group_get_the_page_and_the_json() -> None:
    client = service_client(staff("ada"), served())
    assert "Waiting for the service" in text_of(client.get(PAGE))
    answer = client.get(JSON)
    assert json.loads(answer.content) == {"state": "degraded", "problems": ["Kafka cannot be reached."]}
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_all_others_get_neither() -> None:
    nobody, user, former = Client(), client_of(User.objects.create_user("eve")), staff("old")
    left = client_of(former)
    User.objects.filter(pk=former.pk).update(is_active=False)
    for client in (nobody, user, left):
        assert client.get(PAGE).status_code == 302
        answer = client.get(JSON)
        assert answer.status_code == 403
        assert "log in" in answer.json()["detail"]
        assert "X-Status-Token" not in answer


class NoDatabase:
    @property
    def is_active(self) -> bool:
        raise OperationalError("the server closed the connection")


class Hanging:
    @property
    def is_active(self) -> bool:
        raise AssertionError("the database is asked, and hangs")


def asked(token: str, user: Any, **parts: Any) -> Any:
    request: Any = RequestFactory().get(JSON, headers={"X-Status-Token": token})
    request.user = user
    request.scope = {SERVICE_KEY: SimpleNamespace(**{"status": found, "behind": dict} | parts)}
    return status.status_json(request)


def test_while_the_database_is_away_who_has_just_looked_may_look_on() -> None:
    token = status._token(time.time() - 60)
    for _ in range(3):
        answer = asked(token, NoDatabase())
        assert answer.status_code == 200
        token = answer["X-Status-Token"]
    assert asked("", NoDatabase()).status_code == 403
    assert asked("1:2:3", NoDatabase()).status_code == 403
    assert asked(signing.dumps(time.time(), salt="another"), NoDatabase()).status_code == 403


def test_but_not_forever_and_not_with_an_old_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(status._token(time.time() - status.WATCHING_SECONDS - 1), NoDatabase()).status_code == 403
    token = status._token(time.time())
    later = time.time() + status.TOKEN_SECONDS + 5
    monkeypatch.setattr(time, "time", lambda: later)
    assert asked(token, NoDatabase()).status_code == 403


def test_a_database_that_hangs_is_not_asked() -> None:
    token = status._token(time.time())
    assert asked(token, Hanging(), behind=lambda: {"the streams": 5.0}).status_code == 200


def test_a_token_is_worth_nothing_while_the_database_says_who_is_staff() -> None:
    token = status._token(time.time())
    assert asked(token, SimpleNamespace(is_active=True, is_staff=False)).status_code == 403


def test_a_page_that_the_service_does_not_serve_has_no_status() -> None:
    request: Any = RequestFactory().get(JSON)
    request.user = SimpleNamespace(is_active=True, is_staff=True)
    assert status.status_json(request).status_code == 503
    assert async_to_sync(found)() == FOUND


def test_a_connection_that_is_closed_already_counts_as_a_database_that_is_away() -> None:
    class Closed:
        @property
        def is_active(self) -> bool:
            raise InterfaceError("connection already closed")

    assert asked(status._token(time.time()), Closed()).status_code == 200
    assert asked("", Closed()).status_code == 403


def test_who_is_refused_learns_where_to_log_in_also_below_a_prefix() -> None:
    set_script_prefix("/events/")
    try:
        answer = asked("", SimpleNamespace(is_active=False, is_staff=False))
    finally:
        set_script_prefix("/")
    assert "log in at /events/admin/login/, " in json.loads(answer.content)["detail"]
