"""`manage.py mirror`: a public EventStreams service's events, written into one's own Kafka until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventstreams_site.config.config import ConfigError, load_config
from streams.core.errors import EventStreamsError
from streams.core.since import parse_since
from streams.engine.kafka.options import kafka_options
from streams.http.about import VERSION
from streams.mirror.mirror import Mirror
from streams.mirror.upstream import Upstream, UpstreamError

CONTACT_VARIABLE = "MIRROR_CONTACT"


class Command(BaseCommand):
    """Parses what to mirror, and runs the mirror until a signal."""

    help = (
        "Write the events of a public EventStreams service, such as https://stream.wikimedia.org, into your own Kafka "
        "(that of the configuration), each exactly once, until Ctrl-C. When you run it again, it continues where it "
        "stopped."
    )
    requires_system_checks = ()  # it concerns none of the site's parts

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the service, the streams and what a guest has to say."""
        parser.add_argument("url", help="address of the service")
        parser.add_argument("--stream", required=True, help="names that the streams have there, separated by commas")
        parser.add_argument(
            "--contact",
            default=os.environ.get(CONTACT_VARIABLE, ""),
            help="mail address or page that tells the service's operators who you are; it goes into User-Agent "
            f"(required; or the variable {CONTACT_VARIABLE})",
        )
        parser.add_argument(
            "--since",
            default="",
            type=_since,
            help="where the first run starts: a date-time, or milliseconds since the epoch (default: now)",
        )
        parser.add_argument(
            "--canary", choices=("keep", "drop"), default="keep", help="whether to write test events (default: keep)"
        )

    def handle(self, *, url: str, stream: str, contact: str, since: str, canary: str, **_: Any) -> None:
        """Mirror until SIGINT or SIGTERM."""
        names = [name.strip() for name in stream.split(",")]
        if not all(names):
            raise CommandError(f"--stream is {stream!r}; expected names separated by commas")
        if not contact.strip() or not contact.isprintable() or not contact.isascii():
            raise CommandError(
                "--contact is missing: a mail address or a page, in ASCII, by which the operators of the service can "
                "reach you"
            )
        try:
            options = kafka_options(load_config(os.environ).kafka)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        if options.is_memory:
            raise CommandError("The mirror needs a Kafka to write to, and metadata.broker.list is `memory`")
        client = {**options.client, "client_id": "eventstreams-mirror"}
        upstream = Upstream(url, names, contact.strip(), VERSION)
        mirror = Mirror(upstream, client, since=since, keep_canaries=canary == "keep", report=self._report)
        try:
            asyncio.run(self._run(mirror))
        except UpstreamError as error:
            raise CommandError(str(error)) from None

    async def _run(self, mirror: Mirror) -> None:
        mirroring = asyncio.ensure_future(mirror.run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, mirroring.cancel)
        try:
            await mirroring
        except asyncio.CancelledError:
            self._report(f"Stopped: {mirror.counts.sentence()}.")

    def _report(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _since(text: str) -> str:
    try:
        parse_since(text)
    except EventStreamsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
