"""The configuration of the log, as `logging.config` takes it: Django's processes and the supervisor have the same."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from eventstreams_site.logs.lines import FORMAT

VARIABLE = "DJANGO_LOG_LEVEL"


def level_of(environ: Mapping[str, str]) -> str:
    """Return the level that the environment asks for. Raises ValueError."""
    level = environ.get(VARIABLE, "").strip().upper() or "INFO"
    if level not in logging.getLevelNamesMapping():
        raise ValueError(f"{VARIABLE} is {level!r}; expected DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return level


def configuration(level: str) -> dict[str, Any]:
    """Return the configuration for a level."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"()": "eventstreams_site.logs.lines.LineFormatter", "format": FORMAT},
            "brief": {"()": "eventstreams_site.logs.lines.BriefFormatter", "format": FORMAT},
        },
        "filters": {
            "seldom": {"()": "eventstreams_site.logs.lines.RepeatLimit", "burst": 10},
            "once": {"()": "eventstreams_site.logs.lines.RepeatLimit"},
            "of_clients": {"()": "eventstreams_site.logs.lines.RepeatLimit", "demote": True},
            "not_the_database": {"()": "eventstreams_site.logs.lines.NotTheDatabase"},
        },
        "handlers": {
            "stderr": {"()": "eventstreams_site.logs.lines.Handler", "formatter": "line", "filters": ["seldom"]},
            "once": {"()": "eventstreams_site.logs.lines.Handler", "formatter": "line", "filters": ["once"]},
            # What clients can provoke (an invalid Host, a form with too many fields) gets a line without a traceback.
            "of_clients": {
                "()": "eventstreams_site.logs.lines.Handler",
                "formatter": "brief",
                "filters": ["of_clients"],
            },
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level},  # Django's own handlers would write each line twice
            # Clients can request missing pages at any rate. An internal error is logged, but not for each request.
            "django.request": {
                "handlers": ["once"],
                "filters": ["not_the_database"],
                "propagate": False,
                "level": "ERROR",
            },
            "django.security": {"handlers": ["of_clients"], "propagate": False},
            # It would log each failed attempt (the engine logs when Kafka fails and recovers), and at DEBUG all events,
            # before redaction.
            "aiokafka": {"level": "CRITICAL"},
            "axes": {"handlers": ["of_clients"], "propagate": False, "level": "WARNING"},  # not each login
            "daphne": {"handlers": ["once"], "propagate": False, "level": "WARNING"},
            "eventstreams_site.gate.gate": {"handlers": ["of_clients"], "propagate": False},
        },
    }
