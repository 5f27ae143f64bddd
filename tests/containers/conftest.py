"""Where the containers are. Without them, nothing of this package is collected: `make test` has its own servers."""

from __future__ import annotations

import os

POSTGRES_VARIABLE, REDIS_VARIABLE = "EVENTSTREAMS_TEST_POSTGRES", "EVENTSTREAMS_TEST_REDIS"
"""URLs of both, without a service's data."""

collect_ignore_glob = [] if {POSTGRES_VARIABLE, REDIS_VARIABLE} <= os.environ.keys() else ["test_*.py"]
