"""Which migrations the database lacks: a server would fail at the first question about a table that is not there."""

from __future__ import annotations

import logging
import threading

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

log = logging.getLogger(__name__)

SECONDS = 8.0
"""Maximum seconds for the database's answer; the server starts without one, and says what ails the database."""


def missing_migrations() -> list[str]:
    """Return the names of the migrations that are not applied; empty if the database does not answer."""
    found: list[str] = []
    thread = threading.Thread(target=_find, args=(found,), name="migrations", daemon=True)
    thread.start()
    thread.join(SECONDS)
    return list(found)


def _find(found: list[str]) -> None:
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        found += [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
    except Error as error:
        log.warning("Cannot see whether all migrations are applied: %s", type(error).__name__)
    finally:
        connection.close()
