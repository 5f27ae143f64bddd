"""`manage.py sync_streams`: "Sync now" from a shell."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from eventstreams_site.config.config import load_config
from eventstreams_site.config.yaml_file import ConfigError
from streams.catalogue.lease import Replica
from streams.catalogue.synchronise import SyncResult, synchronise
from streams.models import SyncRun

BY = "sync_streams"
"""What the history shows in place of a user's name."""

FAILED, HELD = 1, 3
STATUS = {SyncRun.Outcome.FAILED: FAILED, SyncRun.Outcome.HELD: HELD}


class Command(BaseCommand):
    """The command."""

    help = (
        "Fetch the stream configuration from stream_config_uri and write changes into the database; every server "
        "process applies them within seconds. Print the changes, and what was skipped or has no effect. A change that "
        "would withdraw all exposed streams, or more than a fifth of them and at least five, is held, unless --force "
        "is given: it then waits for an admin. Exit status: 0 done, 1 failed (nothing was changed), 3 held."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add our options."""
        parser.add_argument("--dry-run", action="store_true", help="print what would change, and write nothing")
        parser.add_argument("--force", action="store_true", help="apply the change even if it would be held")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *args: Any, dry_run: bool, force: bool, as_json: bool, **options: Any) -> None:
        """Synchronise, print the result, and exit with its status."""
        try:
            config = load_config(os.environ)
            replica = Replica(config.stream_config_ttl, is_brief=True)
            result = synchronise(config, replica=replica, dry_run=dry_run, force=force, by=BY)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"Database error: {error} (did you run `manage.py migrate`?)") from None
        if as_json:
            self.stdout.write(json.dumps(public(result, dry_run), ensure_ascii=False))
        else:
            self.stdout.write("\n".join(lines(result, dry_run)))
        sys.exit(STATUS.get(result.outcome, 0))


def public(result: SyncResult, dry_run: bool) -> dict[str, Any]:
    """Return what `--json` prints; `withdrawn` are the streams that clients can read before, but not after."""
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
    """Yield the lines that are printed without `--json`."""
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
        yield f"skipped: {name}: {reason}"
    for name, reason in result.problems:
        yield f"check: {name}: {reason}"
