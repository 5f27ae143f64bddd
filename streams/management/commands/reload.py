"""`manage.py reload`: replaces the workers of a running server by workers with the present configuration."""

from __future__ import annotations

import http.client
import json
import time
from argparse import ArgumentParser
from http import HTTPStatus
from typing import Any

from django.core.management.base import BaseCommand, CommandError

SECONDS = 40.0
"""Maximum seconds for the answer: the server has its configuration checked meanwhile."""
LOOK_SECONDS = 0.5
"""Seconds between two looks at how far the server is."""


class Command(BaseCommand):
    """Asks the supervisor on its operations port, which checks the configuration first."""

    help = "Have a running server (serve --ops-port) load its configuration again and replace its workers one by one."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add our options."""
        parser.add_argument("--ops-port", type=int, required=True, help="the operations port of the server")
        parser.add_argument("--no-wait", action="store_true", help="do not wait until the workers are replaced")
        parser.add_argument(
            "--ops-host", default="127.0.0.1", help="address of the operations port (default: %(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, and wait until the workers are replaced. Raises CommandError if the server refuses or goes back."""
        where = options["ops_host"], options["ops_port"]
        status, said = _asked(*where, "POST", "/reload")
        if status != HTTPStatus.ACCEPTED:
            raise CommandError(f"Nothing has changed: {said.get('detail', said)}")
        workers = f"{said['workers']} workers" if said["workers"] > 1 else "1 worker"
        self.stdout.write(f"The configuration is good. Replacing {workers}, one at a time.")
        if options["no_wait"]:
            return
        while (about := _asked(*where, "GET", "/readyz")[1]["reload"])["replacing"]:
            time.sleep(LOOK_SECONDS)
        if about["problem"]:
            raise CommandError(f"The workers have their old configuration: {about['problem']}")
        self.stdout.write("All workers have the new configuration.")


def _asked(host: str, port: int, method: str, path: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of the operations port's answer. Raises CommandError."""
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandError(f"The server cannot be reached on port {port} of {host}: {error}") from None
    finally:
        connection.close()
