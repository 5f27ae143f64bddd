"""`manage.py reload`: replaces the workers of a running server by workers with the present configuration."""

from __future__ import annotations

import http.client
import json
from argparse import ArgumentParser
from http import HTTPStatus
from typing import Any

from django.core.management.base import BaseCommand, CommandError

SECONDS = 30.0
"""Maximum seconds for the answer: the server loads its configuration meanwhile."""


class Command(BaseCommand):
    """Asks the supervisor on its operations port, which checks the configuration first."""

    help = "Have a running server (serve --ops-port) load its configuration again and replace its workers one by one."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add our options."""
        parser.add_argument("--ops-port", type=int, required=True, help="the operations port of the server")
        parser.add_argument("--ops-host", default="127.0.0.1", help="its address (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, and print the answer. Raises CommandError if the server refuses."""
        host, port = options["ops_host"], options["ops_port"]
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        try:
            connection.request("POST", "/reload")
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CommandError(f"The server cannot be reached on port {port} of {host}: {error}") from None
        finally:
            connection.close()
        if answer.status != HTTPStatus.ACCEPTED:
            raise CommandError(f"Nothing has changed: {said.get('detail', said)}")
        workers = f"{said['workers']} workers" if said["workers"] > 1 else "1 worker"
        self.stdout.write(
            f"The configuration is good. Replacing {workers}, one at a time; /readyz and the log say more."
        )
