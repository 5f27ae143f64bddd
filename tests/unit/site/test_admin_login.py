"""Guessing passwords of the admin is throttled, by user name and address together."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client

from tests.support.admin import ServiceClient, staff
from tests.support.admin.streams import text_of

LOGIN = "/admin/login/"
PASSWORD = "correct-horse-battery-1906"
LIMIT = configured.AXES_FAILURE_LIMIT

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ada(settings: Any) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
    user = staff("ada")
    user.set_password(PASSWORD)
    user.save()
    return user


def log_in(password: str = PASSWORD, user: str = "ada", address: str = "192.0.2.1") -> Any:
    data = {"username": user, "password": password, "next": "/admin/"}
    return Client().post(LOGIN, data, REMOTE_ADDR=address)


def fail(times: int, **who: str) -> Any:
    for _ in range(times):
        answer = log_in("wrong", **who)
    return answer


def test_after_some_failures_the_right_password_does_not_help_either_and_it_is_said_in_words() -> None:
    assert fail(LIMIT - 1).status_code == 200
    answer = fail(1)
    assert answer.status_code == 429
    assert answer["Retry-After"] == "900"
    text = text_of(answer)
    assert "Too many failed logins." in text
    assert f"After {LIMIT} wrong passwords for one user name from one address, login is locked for 15 minutes" in text
    assert log_in().status_code == 429
    assert Client().get(LOGIN).status_code == 200


def test_others_are_not_locked_out_by_it() -> None:
    fail(LIMIT)
    assert log_in(address="192.0.2.2").status_code == 302
    assert log_in("wrong", user="grace").status_code == 200


def test_it_is_over_after_a_while_and_further_tries_do_not_make_it_longer() -> None:
    fail(LIMIT)
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=14))
    assert fail(1).status_code == 429
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=1, seconds=1))
    assert log_in().status_code == 302


def test_a_login_forgets_the_failures_before_it() -> None:
    for _ in range(3):
        fail(LIMIT - 1)
        assert log_in().status_code == 302


@pytest.mark.parametrize(
    ("trusted", "statuses"),
    [
        ("127.0.0.0/8", [429, 302]),  # the header is believed: another client behind the same proxy is another one
        ("10.0.0.0/8", [429, 429]),  # it is not: a client that sends it cannot pass for another one
    ],
)
def test_behind_a_proxy_the_address_is_the_one_that_the_streams_go_by(
    ada: User, trusted: str, statuses: list[int]
) -> None:
    edge = SimpleNamespace(client_ip_header="X-Client-IP", trusted_proxies=[ipaddress.ip_network(trusted)])
    client = ServiceClient(ada, {}, settings=edge)
    client.log_out()

    def ask(password: str, address: str) -> int:
        data = {"username": "ada", "password": password, "next": "/admin/"}
        return int(client.post(LOGIN, data, headers={"X-Client-IP": address}).status_code)

    for _ in range(LIMIT):
        ask("wrong", "192.0.2.1")
    assert [ask(PASSWORD, "192.0.2.1"), ask(PASSWORD, "192.0.2.2")] == statuses


def test_a_session_ends_after_a_working_day() -> None:
    answer = log_in()
    assert answer.cookies["sessionid"]["max-age"] == 12 * 3600
    assert answer.cookies["sessionid"]["httponly"]
    assert answer.cookies["sessionid"]["samesite"] == "Lax"
