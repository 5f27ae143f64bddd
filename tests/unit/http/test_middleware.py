"""Django's part of the service, asked as browsers and proxies ask it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, RequestFactory

from eventstreams_site.middleware import SameHostOrigin

LOGIN = "/admin/login/"


def test_the_admin_is_answered_only_under_its_own_names(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["here.example"]
    assert client.get("/admin/", headers={"host": "elsewhere.example"}).status_code == 400
    assert client.get("/admin/", headers={"host": "here.example"}).status_code == 302


@pytest.mark.parametrize(
    ("hosts", "host", "origin", "is_taken"),
    [
        # Behind a proxy that ends TLS, on any port; it may keep the port in Host or drop it.
        ("*", "example.org", "https://example.org", True),
        ("*", "example.org", "https://example.org:8443", True),
        ("*", "example.org:8443", "https://example.org:8443", True),
        ("*", "[2001:db8::1]:8443", "https://[2001:db8::1]:8443", True),
        ("*", "example.org:443", "https://example.org", True),
        # Without a proxy.
        ("*", "localhost:8092", "http://localhost:8092", True),
        # The proxy asks under its own name; the site's name is configured.
        ("example.org,inside", "inside", "https://example.org:8443", True),
        (".example.org,inside", "inside", "https://a.example.org:8443", True),
        # Never anybody else.
        ("*", "example.org", "https://evil.example:8443", False),
        ("*", "example.org", "https://example.org.evil.example", False),
        ("*", "example.org", "https://evil.example/example.org", False),
        ("*", "example.org", "https://example.org@evil.example", False),
        ("*", "example.org", "https://evil.example@example.org", False),
        ("*", "inside", "https://example.org", False),
        ("example.org,inside", "inside", "https://evil.example:8443", False),
        # Another service on another port of the same machine is another origin.
        ("*", "example.org:8443", "https://example.org:9000", False),
        ("*", "example.org:8443", "https://example.org", False),
        ("example.org", "example.org:8443", "https://example.org:9000", False),
        # Anybody on the way can write a page of http.
        ("*", "example.org:8443", "http://example.org:8000", False),
        ("*", "example.org", "http://example.org:8443", False),
        ("*", "example.org", "null", False),
        ("*", "example.org", "https://", False),
        ("*", "example.org", "https://example.org:port", False),
    ],
)
def test_a_form_is_taken_from_the_site_itself_on_any_port_and_from_nobody_else(
    hosts: str, host: str, origin: str, is_taken: bool, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = hosts.split(",")
    request = RequestFactory().post(LOGIN, headers={"host": host, "origin": origin})
    assert SameHostOrigin(lambda _: None)._origin_verified(request) is is_taken  # type: ignore[arg-type]


@pytest.mark.django_db
@pytest.mark.parametrize(("origin", "status"), [("https://example.org:8443", 200), ("https://evil.example:8443", 403)])
def test_the_login_works_behind_tls_on_another_port(origin: str, status: int, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    client = Client(enforce_csrf_checks=True, headers={"host": "example.org"})
    token = client.get(LOGIN).cookies["csrftoken"].value
    data = {"username": "nobody", "password": "wrong", "csrfmiddlewaretoken": token}
    assert client.post(LOGIN, data, headers={"origin": origin}).status_code == status
