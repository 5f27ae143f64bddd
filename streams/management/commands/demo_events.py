"""`manage.py demo_events`: events like Wikimedia's, written to Kafka until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
from typing import Any

from aiokafka.errors import KafkaError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventstreams_site.config.config import load_config
from eventstreams_site.config.yaml_file import ConfigError
from streams.core.durations import parse_duration
from streams.engine.kafka.options import kafka_options
from streams.local.demo import DemoPlan, run_demo


class Command(BaseCommand):
    """The command."""

    help = "Write invented events to Kafka until Ctrl-C, in nine streams that describe the same edits."
    requires_system_checks = ()  # it uses no part of the site

    def add_arguments(self, parser: CommandParser) -> None:
        """Add our options."""
        parser.add_argument("--rate", type=_rate, default=10.0, help="recentchange events per second (default: 10)")
        parser.add_argument(
            "--backfill",
            type=_duration,
            default=0.0,
            help="first write a history of this length (30m, 1h, 2d), unless it exists already (default: none)",
        )
        parser.add_argument("--history-only", action="store_true", help="exit when the history is written")
        parser.add_argument("--brokers", help="host:port,... (default: from the service's configuration)")
        parser.add_argument(
            "--partitions", type=int, default=1, help="partitions of each topic that is created (default: 1)"
        )
        parser.add_argument("--seed", help="the same seed at the same times gives the same events (default: random)")

    def handle(
        self,
        *,
        rate: float,
        backfill: float,
        history_only: bool,
        brokers: str | None,
        partitions: int,
        seed: str | None,
        **options: Any,
    ) -> None:
        """Write events until Ctrl-C."""
        plan = DemoPlan(rate, backfill, seed or secrets.token_hex(8), partitions, live=not history_only)
        try:
            client = dict(kafka_options(load_config(os.environ).kafka).client)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        if brokers:
            client["bootstrap_servers"] = brokers
        client["client_id"] = "eventstreams-demo"
        try:
            asyncio.run(self._run(client, plan))
        except KafkaError as error:
            raise CommandError(f"Kafka at {client['bootstrap_servers']}: {error}") from None

    async def _run(self, client: dict[str, Any], plan: DemoPlan) -> None:
        producing = asyncio.ensure_future(run_demo(client, plan, report=self._report))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, producing.cancel)
        try:
            await producing
        except asyncio.CancelledError:
            self._report("Stopped.")

    def _report(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rate(text: str) -> float:
    rate = float(text) if text.replace(".", "", 1).isdecimal() else 0.0
    if not 0 < rate <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate: expected a number above 0, up to 100000")
    return rate
