"""Start the containers, run the tests of this package on them, and end the containers: ``python -m tests.containers``.

Exit status: that of the tests, or 3 if no container engine answers, since nothing was tested then.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

import pytest
from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer

from tests.conftest import KAFKA_VARIABLE, docker_answers, kafka_container
from tests.containers.conftest import POSTGRES_VARIABLE, REDIS_VARIABLE

NO_ENGINE = 3
"""Exit status: no container engine answers."""
POSTGRES, REDIS = "postgres:17-alpine", "redis:7-alpine"
"""The images of compose.yaml."""


def main() -> int:
    """Run the tests and return the exit status."""
    if not docker_answers():
        where = os.environ.get("DOCKER_HOST", "its default address")
        print(
            f"Nothing was tested: no container engine answers at {where}. Start Docker (or Podman with its Docker "
            "socket), or set DOCKER_HOST, then run `make test-containers` again.",
            file=sys.stderr,
        )
        return NO_ENGINE
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresContainer(POSTGRES, driver=None))
        redis = stack.enter_context(RedisContainer(REDIS))
        os.environ[KAFKA_VARIABLE] = stack.enter_context(kafka_container())
        os.environ[POSTGRES_VARIABLE] = postgres.get_connection_url()
        address = f"{redis.get_container_host_ip()}:{redis.get_exposed_port(redis.port)}"
        os.environ[REDIS_VARIABLE] = f"redis://{address}/0"
        return int(pytest.main(["tests/containers", "--numprocesses", "0"]))


if __name__ == "__main__":
    sys.exit(main())
