"""`manage.py serve` with a redactor that is broken: it keeps the user of every event of a listed page.

Run where a check of redaction must find it: ``python -m tests.support.broken.unredacted --port N``
"""

from __future__ import annotations

from django.core.management import execute_from_command_line

from redaction import redactor

_is_removed = redactor._names_somebody


def _broken(name: str) -> bool:
    return name not in {"user", "editor"} and _is_removed(name)


if __name__ == "__main__":
    import sys

    redactor._names_somebody = _broken
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
