"""`manage.py sync_streams`: "Sync now" from a shell."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from eventstreams_site.config.config import ConfigError, load_config
from streams.catalogue.synchronise import SyncResult, synchronise
from streams.models import SyncRun

BY = "sync_streams"
"""In the history, in place of a user's name."""

FAILED, HELD = 1, 3
STATUS = {SyncRun.Outcome.FAILED: FAILED, SyncRun.Outcome.HELD: HELD}


class Command(BaseCommand):
    help = (
        "Fetches the stream configuration from stream_config_uri and writes what has changed into the database; every "
        "server process takes it over within seconds. Prints what has changed, and what is left out or has no effect. "
        "A change that would withdraw all exposed streams, or at least five that are more than a fifth, is held, "
        "unless forced. Exit status: 0 done, 1 failed (what was there stays), 3 held."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would change; write nothing")
        parser.add_argument("--force", action="store_true", help="apply the change even if it would be held")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *args: Any, dry_run: bool, force: bool, as_json: bool, **options: Any) -> None:
        try:
            result = synchronise(load_config(os.environ), dry_run=dry_run, force=force, by=BY)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"the database: {error} (has `manage.py migrate` been run?)") from None
        if as_json:
            self.stdout.write(json.dumps(public(result, dry_run), ensure_ascii=False))
        else:
            self.stdout.write("\n".join(lines(result, dry_run)))
        sys.exit(STATUS.get(result.outcome, 0))


def public(result: SyncResult, dry_run: bool) -> dict[str, Any]:
    """What `--json` prints; `withdrawn` are the streams that clients can read now and could not afterwards."""
    return {
        "outcome": result.outcome.value,
        "dry_run": dry_run,
        "source": result.source,
        "seconds": round(result.seconds, 3),
        "error": result.error,
        "added": result.added,
        "removed": result.removed,
        "changed": result.changed,
        "withdrawn": result.withdrawn,
        "left_out": [problem._asdict() for problem in result.left_out],
        "problems": [problem._asdict() for problem in result.problems],
    }


def lines(result: SyncResult, dry_run: bool) -> Iterator[str]:
    """The same for people."""
    outcome = result.outcome.value
    if result.error:
        yield f"{outcome}: {result.error}"
    else:
        yield f"{'would be ' if dry_run else ''}{outcome}: {result.source} ({result.seconds:.2f} s)"
    for what in ("added", "removed", "changed", "withdrawn"):
        names: tuple[str, ...] = getattr(result, what)
        if names:
            yield f"{what} ({len(names)}):"
            yield from (f"  {name}" for name in names)
    for name, reason in result.left_out:
        yield f"left out: {name}: {reason}"
    for name, reason in result.problems:
        yield f"check: {name}: {reason}"
