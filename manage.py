#!/usr/bin/env python
"""Django's command line, for the commands of this project."""

from __future__ import annotations

import os
import secrets
import sys

if sys.argv[1:2] == ["serve"]:
    # Before the imports below, which take a second: as the first process of a container it would not be stopped.
    from eventstreams_site.server import signals

    signals.at_start()

    from eventstreams_site.server.options import supervisor_options

    if (options := supervisor_options(sys.argv[2:])) is not None:
        from eventstreams_site.server.supervisor import supervise

        supervise(options)  # without Django, which each of its workers imports

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

WITHOUT_THE_SITE = {"compare_services", "demo_events", "local_kafka", "mirror"}
"""Commands that use nothing of Django but its command line, so that any key will do."""


def main() -> None:
    """Run a command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "eventstreams_site.settings")
    if (sys.argv[1:2] and sys.argv[1] in WITHOUT_THE_SITE) or {"--help", "-h"} & set(sys.argv[2:]):
        os.environ.setdefault("DJANGO_SECRET_KEY", secrets.token_urlsafe())
    try:
        if sys.argv[1:2] not in ([], ["help"]):
            _ = settings.DEBUG  # they are read now: some commands would make a traceback of what is wrong with them
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(error, file=sys.stderr)
        sys.exit(3)  # 1 and 2 are findings of some commands


if __name__ == "__main__":
    main()
