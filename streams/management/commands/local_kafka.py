"""`manage.py local_kafka`: a Kafka on this machine, in the foreground, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from streams.local.kafka import LocalKafka, LocalKafkaError


class Command(BaseCommand):
    """The command."""

    help = "Run a local Kafka until Ctrl-C, with its data in a folder. Maven downloads it, and Java runs it."
    requires_system_checks = ()  # it uses no part of the site

    def add_arguments(self, parser: CommandParser) -> None:
        """Add our options."""
        parser.add_argument(
            "--folder",
            type=Path,
            default=settings.BASE_DIR / ".local" / "kafka",
            help="folder for its configuration, data and log (default: .local/kafka)",
        )
        parser.add_argument("--port", type=int, default=9092, help="port on 127.0.0.1 (default: 9092)")

    def handle(self, *, folder: Path, port: int, **options: Any) -> None:
        """Run Kafka until a signal comes."""
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        kafka = LocalKafka(folder, port=port)
        try:
            self.stdout.write(f"Starting Kafka in {folder} ...")
            kafka.start()
            self.stdout.write(f"Kafka answers at {kafka.bootstrap}; its log is {kafka.log}. Ctrl-C stops it.")
            while not stopped.wait(0.2):
                if not kafka.running:
                    kafka.wait_ready()  # raises, with the end of its log
        except LocalKafkaError as error:
            raise CommandError(str(error)) from None
        finally:
            kafka.stop()
