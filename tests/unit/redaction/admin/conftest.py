"""What tests of the admin of redacted pages share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.test import Client

from redaction.admin.pages import RedactedPageAdmin
from tests.support.admin import client_of, staff
from tests.support.admin.redaction import GROUP
from tests.support.events.evidence import evidence


@pytest.fixture
def borne_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events confirm what a test lists; what is doubtful has its own tests (test_redaction_doubts)."""
    monkeypatch.setattr(RedactedPageAdmin, "evidence", SimpleNamespace(of=lambda request: evidence()))


@pytest.fixture
def admin() -> Client:
    return client_of(staff("ada", GROUP))
