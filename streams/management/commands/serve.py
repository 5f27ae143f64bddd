"""`manage.py serve`: the production server."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """The command."""

    help = "Serve the streams. The path of the configuration file is in EVENTSTREAMS_CONFIG."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add our options."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8092, help="port to listen on (default: %(default)s)")
        parser.add_argument(
            "--workers",
            type=int,
            default=1,
            metavar="N",
            help="processes that share the port, each with its own Kafka reader; at most one per core is useful "
            "(default: %(default)s)",
        )

        parser.add_argument(
            "--ops-port",
            type=int,
            metavar="PORT",
            help="port for /healthz, /readyz, /metrics of all workers and for `manage.py reload`; not for the public "
            "(default: none)",
        )
        parser.add_argument(
            "--ops-host", default="127.0.0.1", help="address of the operations port (default: %(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until a signal comes."""
        # Before anything imports Twisted's reactor, which takes the event loop that is installed.
        import uvloop

        uvloop.install()

        from eventstreams_site.core_dumps import forbid_core_dumps

        forbid_core_dumps()
        if not settings.DEBUG and not os.environ.get("DATABASE_URL", "").strip():
            raise CommandError(
                "DATABASE_URL is not set. The list of redacted pages is in the database: with a new, empty database, "
                "nothing would be redacted. Set it, for example to postgres://user:password@host:5432/name or "
                "sqlite:////absolute/path. (For development, DJANGO_DEBUG=true works without it.)"
            )
        from eventstreams_site.config.config import load_config
        from eventstreams_site.config.yaml_file import ConfigError
        from eventstreams_site.logs.lines import take_standard_streams
        from eventstreams_site.server.listening import ListenError
        from eventstreams_site.server.supervisor import run_workers
        from streams.engine.kafka.options import kafka_options

        if options["workers"] < 1:
            raise CommandError(f"--workers is {options['workers']}; use 1 or more")
        try:
            config = load_config(os.environ)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        ops = None if options["ops_port"] is None else (options["ops_host"], options["ops_port"])
        is_supervised = options["workers"] > 1 or ops is not None
        if kafka_options(config.kafka).is_memory and is_supervised:
            raise CommandError("--workers and --ops-port need a Kafka: without one, each process has its own events")
        take_standard_streams()
        try:
            if is_supervised:
                run_workers(config, options["host"], options["port"], options["workers"], ops)
            else:
                from eventstreams_site.server.server import serve
                from streams.local.demo.in_memory import demo_in_memory

                serve(config, options["host"], options["port"], demo_in_memory(config.kafka))
        except ListenError as error:
            raise CommandError(str(error)) from None
