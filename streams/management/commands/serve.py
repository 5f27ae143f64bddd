"""`manage.py serve`: the production server."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Serve the streams: Daphne with backpressure and a clean stop. Configuration: EVENTSTREAMS_CONFIG."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8092, help="port to listen on (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        # Before anything imports Twisted's reactor, which takes the event loop that is there.
        import uvloop

        uvloop.install()

        from eventstreams_site.conf import ConfigError, load_config
        from eventstreams_site.server import ListenError, serve

        try:
            config = load_config(os.environ)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        try:
            serve(config, options["host"], options["port"])
        except ListenError as error:
            raise CommandError(str(error)) from None
