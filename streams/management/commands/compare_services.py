"""`manage.py compare_services`: compare two EventStreams services, event by event."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from streams.compare.reading import Reading
from streams.compare.report import table
from streams.core.durations import parse_duration
from streams.http.about import VERSION
from streams.management.commands.mirror import CONTACT_VARIABLE
from streams.mirror.upstream import Upstream, UpstreamError

DIFFERENT, NOT_COMPARED = 1, 2
"""Exit statuses; 0: no difference."""


class Command(BaseCommand):
    """The command."""

    help = (
        "Read the same streams of two services and report what only one has, repeated events, order, latency, and "
        "members that one removes and the other does not (never their values). Exit status: 0 no difference, "
        "1 differences, 2 not compared."
    )
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the services, the streams and how long to read."""
        parser.add_argument("a", help="address of the first service")
        parser.add_argument("b", help="address of the second service")
        parser.add_argument("--stream", required=True, help="streams, separated by commas")
        parser.add_argument(
            "--for",
            dest="seconds",
            type=_duration,
            default=600.0,
            help="how long to compare: 30s, 10m, 1h (default: 10m)",
        )
        parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
        parser.add_argument(
            "--contact",
            default=os.environ.get(CONTACT_VARIABLE, ""),
            help=f"mail address or page that goes into User-Agent (required; or the variable {CONTACT_VARIABLE})",
        )

    def handle(self, *, a: str, b: str, stream: str, seconds: float, contact: str, **options: Any) -> None:
        """Compare, and exit."""
        if not contact.strip() or not contact.isprintable() or not contact.isascii():
            raise CommandError(f"Say who you are, in ASCII: --contact, or {CONTACT_VARIABLE}", returncode=NOT_COMPARED)
        names = [name.strip() for name in stream.split(",")]
        if not all(names):
            raise CommandError(f"--stream is {stream!r}; expected names separated by commas", returncode=NOT_COMPARED)
        upstreams = (Upstream(a, names, contact.strip(), VERSION), Upstream(b, names, contact.strip(), VERSION))
        try:
            report = asyncio.run(Reading(upstreams, seconds, self._tell).run())
        except UpstreamError as error:
            raise CommandError(str(error), returncode=NOT_COMPARED) from None
        except KeyboardInterrupt:
            raise CommandError("Not compared: stopped before the end", returncode=NOT_COMPARED) from None
        except Exception as fault:  # its text may quote an event
            what = f"Not compared, by a fault of this command: {type(fault).__name__} (--traceback shows where)"
            raise CommandError(what, returncode=NOT_COMPARED) from fault
        self.stdout.write(json.dumps(report, indent=2) if options["json"] else table(report))
        if not report["compared"]:
            why = "a service has sent no event, or both have sent others in the last seconds alone"
            raise CommandError(f"Nothing was compared: {why}", returncode=NOT_COMPARED)
        if not report["equal"]:
            sys.exit(DIFFERENT)

    def _tell(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()


def _duration(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not seconds:
        raise argparse.ArgumentTypeError("0 is too short")
    return seconds
