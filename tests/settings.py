"""The site's settings as in development; here, since pytest-django reads them before any conftest."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_DEBUG", "1")

from eventstreams_site.settings import *  # noqa: F403
