"""What tests of the admin of streams share."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.support.admin import client_of, staff
from tests.support.admin.streams import GROUP


@pytest.fixture
def admin() -> Client:
    return client_of(staff("ada", GROUP))
