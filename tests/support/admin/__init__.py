"""What tests of the admin share: users, and a service whose configuration file lists pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.test import AsyncClient, Client

from streams.http.service import SCOPE_KEY

LIST = "/admin/redaction/redactedpage/"
HISTORY = "/admin/redaction/pagechange/"


def staff(name: str = "ada", *groups: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class ServiceClient:
    """Asks as the service's own server does, in a scope with the configured pages and other parts of a service."""

    def __init__(self, user: User, configured: Mapping[str, Sequence[str]], **parts: Any) -> None:
        healthy = {
            "unready": list,
            "degraded": list,
            "trouble": lambda: ([], []),
            "behind": dict,
            "status": None,
            "settings": SimpleNamespace(ui_enabled=False),
            "catalogue": None,
        }
        service = SimpleNamespace(configured_pages=configured, **healthy | parts)

        class InService(AsyncClient):
            def _base_scope(self, **request: Any) -> dict[str, Any]:
                return {**super()._base_scope(**request), SCOPE_KEY: service}

        self._client = InService()
        self._client.force_login(user)

    def get(self, path: str, data: Any = None, follow: bool = False) -> Any:
        return async_to_sync(self._client.get)(path, data, follow=follow)

    def post(self, path: str, data: Any, follow: bool = False, headers: Mapping[str, str] | None = None) -> Any:
        return async_to_sync(self._client.post)(path, data, follow=follow, headers=dict(headers or {}))

    def log_out(self) -> None:
        self._client.logout()


def messages(response: Any) -> list[str]:
    """What the page that a redirect led to says."""
    return [str(message) for message in response.context["messages"]]
