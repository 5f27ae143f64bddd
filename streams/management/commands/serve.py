"""`manage.py serve`: the production server."""

from __future__ import annotations

import logging
import os
import socket
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from eventstreams_site.server.options import CHECK, WORKER, add_options, is_supervised, part_of

if TYPE_CHECKING:
    from eventstreams_site.config.config import Config


log = logging.getLogger(__name__)

MAX_WORKERS = 256
"""More is a slip: each takes 100 MB, and they would bring the machine down before anybody could stop them."""
LONGEST_LIST = 5
"""Maximum number of migrations that a message names."""


class Command(BaseCommand):
    """The command."""

    help = "Serve the streams. The path of the configuration file is in EVENTSTREAMS_CONFIG."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add our options."""
        add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until a signal comes, or be a part of a supervised server."""
        from eventstreams_site.logs.lines import Style
        from eventstreams_site.server.check import report_checked, report_problem
        from eventstreams_site.server.descriptors import bounded
        from eventstreams_site.server.listening import ListenError

        Style.use("auto")

        part, descriptors = part_of(options["part"]) if options["part"] is not None else ("", [])
        if part == CHECK:
            try:
                config, text = checked(options)
                host, _ = bounded(config, options["workers"])
            except (CommandError, ListenError) as error:
                report_problem(descriptors[0], str(error))
                sys.exit(1)
            report_checked(descriptors[0], config, host, text)
        elif part == WORKER:
            serve_as_worker(descriptors, options["workers"])
        elif is_supervised(options):
            from eventstreams_site.server.supervisor import supervise

            supervise(Namespace(**options))
        else:
            serve_alone(options)


def checked(options: Mapping[str, Any]) -> tuple[Config, str | None]:
    """Return the configuration and its text. Raises CommandError if the server cannot run with it."""
    from eventstreams_site.config.config import config_text, load_config
    from eventstreams_site.config.yaml_file import ConfigError
    from streams.engine.kafka.options import kafka_options

    if not settings.DEBUG and not os.environ.get("DATABASE_URL", "").strip():
        raise CommandError(
            "DATABASE_URL is not set. The list of redacted pages is in the database: with a new, empty database, "
            "nothing would be redacted. Set it, for example to postgres://user:password@host:5432/name or "
            "sqlite:////absolute/path. (For development, DJANGO_DEBUG=true works without it.)"
        )
    if not 1 <= options["workers"] <= MAX_WORKERS:
        raise CommandError(
            f"--workers is {options['workers']}; use 1 to {MAX_WORKERS}, about as many as there are cores"
        )
    try:
        text = config_text(os.environ)
        config = load_config(os.environ, text)
        _check_migrations()
        if config.redis_url is not None:
            from eventstreams_site.server.redis_counts import check_url

            check_url(config.redis_url)
    except (ConfigError, ValueError) as error:
        raise CommandError(str(error)) from None
    if is_supervised(options) and kafka_options(config.kafka).is_memory:
        raise CommandError("--workers and --ops-port need a Kafka: without one, each process has its own events")
    return config, text


def _check_migrations() -> None:
    from eventstreams_site.migrations_applied import missing_migrations

    if missing := missing_migrations():
        shown = ", ".join(missing[:LONGEST_LIST]) + (" …" if len(missing) > LONGEST_LIST else "")
        text = f"The database lacks {len(missing)} migrations ({shown}); run `manage.py migrate` first"
        if not settings.DEBUG:
            raise CommandError(text)
        log.warning("%s", text)


def prepare() -> None:
    """Prepare a process that serves, before the import of Twisted's reactor, which takes the installed event loop."""
    import uvloop

    uvloop.install()

    from eventstreams_site.core_dumps import forbid_core_dumps

    forbid_core_dumps()


def serve_as_worker(descriptors: Sequence[int], workers: int) -> NoReturn:
    """Serve what the supervisor at the other end of two sockets sends."""
    prepare()

    from eventstreams_site.logs.lines import take_standard_streams
    from eventstreams_site.server.worker_process import run_worker

    take_standard_streams()
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    channel, control = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    run_worker(channel, control, workers)


def serve_alone(options: Mapping[str, Any]) -> NoReturn:
    """Serve in this process. Raises CommandError if it cannot."""
    prepare()
    config, _ = checked(options)

    from eventstreams_site.logs.lines import Style, take_standard_streams
    from eventstreams_site.server.listening import ListenError
    from eventstreams_site.server.server import serve
    from streams.local.demo.in_memory import demo_in_memory

    Style.use(config.log_format)
    take_standard_streams()
    try:
        serve(config, options["host"], options["port"], demo_in_memory(config.kafka))
    except ListenError as error:
        raise CommandError(str(error)) from None
