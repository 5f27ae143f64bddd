"""`manage.py check_redaction`: what the staff page "Test a redaction" does, from a shell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import traceback
from argparse import BooleanOptionalAction
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aiokafka.errors import KafkaError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from eventstreams_site.config.config import Config, ConfigError, load_config
from redaction.admin.listing import listing
from redaction.check.api_client import CheckError, is_loopback
from redaction.check.check import Question, Raw, check, window_start
from redaction.check.findings import Finding, Progress, Result, Verdict
from redaction.check.produced_edit import Edit, ProduceError, produce
from redaction.entries.slips import without_escapes
from redaction.entries.titles import NotAPageError, Page, is_address
from redaction.entries.typed import typed_domain, typed_page
from streams.catalogue.database import read_catalogue
from streams.core.catalogue import Catalogue
from streams.engine.kafka.options import kafka_options
from streams.engine.kafka.source import KafkaSource
from streams.engine.source import SourceError
from streams.engine.tuning import Tuning

DEFAULT_URL = "http://127.0.0.1:8092"
PRODUCED_BEFORE_SECONDS = 60
"""Seconds before a test edit from which it is looked for: clocks differ."""

STATUS = {Verdict.CLEAN: 0, Verdict.LEAK: 1, Verdict.NOT_FOUND: 2}
FAILED = 3


class _Asked(NamedTuple):
    """The command's options, after checks."""

    domain: str
    title: str
    rev_id: int | None
    since_ms: int
    streams: tuple[str, ...]
    url: str
    with_raw: bool
    produce: bool
    as_json: bool


class Command(BaseCommand):
    """`manage.py check_redaction`."""

    help = (
        "Test whether clients can see who acted on a page: read the events of the page through the service's HTTP API "
        "and, if Kafka is available, compare them with the raw records. Exit status: 0 clean, 1 leak, 2 not found (no "
        "real event was found, so nothing is proved), 3 the check could not be made."
    )
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Refuse abbreviated options: they would change their meaning with a new option."""
        return super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--domain", default="", help="domain of the wiki, such as ru.wikipedia.org")
        add(
            "--title",
            default="",
            help="title of the page, with its namespace, in any spelling; or the whole address of the page",
        )
        add("--rev-id", type=int, help="look only for this revision; --title is then optional")
        add(
            "--since",
            default="1h",
            help="where the window of time begins: 30m, 1h, 2d ago, or a time as the API takes it (default: 1h)",
        )
        add("--streams", default="", help="names of the streams, separated by commas (default: all that are exposed)")
        add("--url", default=DEFAULT_URL, help="address of the service (default: %(default)s)")
        add(
            "--raw",
            action=BooleanOptionalAction,
            help="compare with the raw records of the configured Kafka, or only look for keys that should be removed "
            "(default: compare if the service is on this machine)",
        )
        add(
            "--produce",
            action="store_true",
            help="first write a test edit of the page into the local Kafka, for every stream that would have it",
        )
        add("--json", action="store_true", help="write one JSON object a line: first the events found, then the result")

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command, and end with its exit status."""
        self.status = FAILED
        try:
            super().run_from_argv(argv)
        except SystemExit as end:
            # The statuses of argparse (2) and Python (1) would be verdicts here.
            sys.exit(FAILED if end.code else 0)
        except Exception:
            traceback.print_exc()
        sys.exit(self.status)

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the redaction, and print the result."""
        try:
            asked = _asked(options)
            config = load_config(os.environ) if asked.with_raw or asked.produce else None
            result = asyncio.run(self._stoppable(asked, config))
        except (CheckError, ConfigError, ProduceError, ValueError) as error:
            raise CommandError(str(error)) from None
        except (KafkaError, SourceError) as error:
            raise CommandError(f"Kafka: {error}") from None
        if result is None:
            raise CommandError("stopped without a verdict")
        self._conclude(asked, result)
        self.status = STATUS[result.verdict]

    async def _stoppable(self, asked: _Asked, config: Config | None) -> Result | None:
        checking = asyncio.ensure_future(self._check(asked, config))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, checking.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            return await checking
        return None

    async def _check(self, asked: _Asked, config: Config | None) -> Result:
        def report(item: Progress | Finding) -> None:
            self._report(asked, item)

        if config is None:
            question = Question(asked.domain, asked.title, asked.rev_id, asked.since_ms, asked.streams)
            return await check(question, asked.url, None, report)
        catalogue, listed = await asyncio.to_thread(_stored, config, asked)
        if listed:
            self._say(asked, listed)
        streams, unknown = catalogue.resolve(asked.streams or tuple(catalogue.streams))
        if unknown:
            raise CheckError(f"No such streams are configured: {', '.join(unknown)}")
        options = kafka_options(config.kafka)
        rev_id, since_ms = asked.rev_id, asked.since_ms
        if asked.produce:
            edit = Edit.of(asked.domain, asked.title, int(time.time() * 1000), rev_id)
            names = await produce({**options.client, "client_id": "eventstreams-test-edit"}, edit, streams)
            streams, _ = catalogue.resolve(names)
            rev_id, since_ms = edit.rev_id, min(since_ms, edit.at_ms - PRODUCED_BEFORE_SECONDS * 1000)
            self._say(asked, f"Wrote revision {rev_id} of the page to {', '.join(names)}.")
        topics = {stream.name: stream.topics for stream in streams}
        async with _source(config, catalogue) as source:
            there = tuple(name for name, of in topics.items() if any(topic in source.partitions for topic in of))
            if not there:
                raise CheckError("None of the topics of these streams exists in Kafka")
            question = Question(asked.domain, asked.title, rev_id, since_ms, there)
            raw = Raw(source, topics) if asked.with_raw else None
            return await check(question, asked.url, raw, report, max_streams=config.max_streams)

    # Output

    def _report(self, asked: _Asked, item: Progress | Finding) -> None:
        if isinstance(item, Progress):
            if not asked.as_json and self.stderr.isatty():
                part = "" if item.part is None else f" {item.part:4.0%}"
                what = "raw records" if item.step == "raw" else "events as clients get them"
                self.stderr.write(f"\r{item.records:,} {what}{part}, {item.time} \033[K", ending="")
                self.stderr.flush()
        elif asked.as_json:
            self._line(json.dumps(item.public(), ensure_ascii=False))
        else:
            self._clear()
            where, about = item.position, item.about
            facts = [about.kind, f"revision {about.revision}" if about.revision else "", "test edit" * about.is_test]
            self._line(
                f"{item.verdict.value.upper():9}  {where.stream}  {where.topic} partition {where.partition} "
                f"offset {where.offset}  {where.time}  {', '.join(filter(None, facts))}".rstrip()
            )
            if item.removed:
                self._line(f"           removed: {', '.join(item.removed)}")
            for leak in item.leaks:
                self._line(f"           LEAK at {leak.path or 'the whole event'}: {leak.why}")
            if item.note:
                self._line(f"           {item.note}")

    def _conclude(self, asked: _Asked, result: Result) -> None:
        if asked.as_json:
            self._line(json.dumps({"result": result.public()}, ensure_ascii=False))
            return
        self._clear()
        for sentence in result.sentences:
            self._line(sentence)

    def _say(self, asked: _Asked, text: str) -> None:
        (self.stderr if asked.as_json else self.stdout).write(text)

    def _line(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _clear(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("\r\033[K", ending="")
            self.stderr.flush()


def _stored(config: Config, asked: _Asked) -> tuple[Catalogue, str]:
    """Return the streams, and a sentence that says by which entry the page is listed. Raises CheckError."""
    try:
        catalogue = read_catalogue(config)
        page = Page(asked.domain, asked.title)
        listed: str = listing(page, config.mediawiki_redacted_pages)["sentence"] if asked.title else ""
    except DatabaseError as error:
        raise CheckError(f"The database: {error} (has `manage.py migrate` been run?)") from None
    finally:
        connections.close_all()  # those of this thread
    if catalogue is None:
        raise CheckError("The database has no streams yet: start the server once, or run `manage.py sync_streams`")
    return catalogue, listed


def _asked(options: dict[str, Any]) -> _Asked:
    """Return the options. Raises CheckError, ValueError."""
    url, domain, title, rev_id = options["url"], options["domain"].strip(), options["title"].strip(), options["rev_id"]
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CheckError(f"{url!r} is not the address of a service; expected one such as {DEFAULT_URL}")
    if not title and rev_id is None:
        raise CheckError("give --title, or --rev-id, or both")
    if not domain and not is_address(title):
        raise CheckError("--domain is empty; expected one such as ru.wikipedia.org")
    try:
        domain, title = typed_page(domain, without_escapes(title)) if title else (typed_domain(domain), "")
    except NotAPageError as error:
        raise CheckError(f"--domain and --title name no page: {error}") from None
    if options["produce"] and not title:
        raise CheckError("--produce needs the --title of the page that is to be edited")
    if rev_id is not None and rev_id <= 0:
        raise CheckError(f"--rev-id is {rev_id}; expected a number above 0")
    is_local = is_loopback(parts.hostname)
    if options["produce"] and not is_local:
        raise CheckError(f"--produce writes to the Kafka on this machine, which {url} does not read")
    with_raw = is_local if options["raw"] is None else options["raw"]
    streams = tuple(filter(None, (name.strip() for name in options["streams"].split(","))))
    if not streams and not with_raw and not options["produce"]:
        raise CheckError(f"give --streams: {url} does not say which streams it has")
    since_ms = window_start(options["since"], int(time.time() * 1000))
    return _Asked(domain, title, rev_id, since_ms, streams, url, with_raw, options["produce"], options["json"])


@asynccontextmanager
async def _source(config: Config, catalogue: Catalogue) -> AsyncIterator[KafkaSource]:
    """Open Kafka, and look up all topics of the catalogue."""
    source = KafkaSource(kafka_options(config.kafka), tuning=Tuning(history_readers=1))
    try:
        await source.refresh(topic for stream in catalogue.streams.values() for topic in stream.topics)
        yield source
    finally:
        await source.close()
