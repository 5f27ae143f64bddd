"""Faults, to a Sentry: where they arose, and nothing that our code was working on.

Local variables, texts of exceptions and arguments of log messages may hold events that are not yet redacted, and
queries hold names. So Sentry gets a new event, made of what is known to be harmless.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import sentry_sdk
from sentry_sdk.integrations.logging import EventHandler
from sentry_sdk.transport import HttpTransport

from streams.http.about import NAME, VERSION

if TYPE_CHECKING:
    from sentry_sdk.types import Event

log = logging.getLogger(__name__)

LOGGERS = ("", "django.request", "daphne")
"""Loggers whose errors are faults: the root, and those that do not pass theirs on."""
OURS = ("eventstreams_site", "streams", "redaction", "django")
"""Packages whose log messages are texts of the source, in which arguments are marked."""
KIND_SECONDS = 10.0
"""Seconds in which a fault of one kind is sent once: making its stack takes a millisecond of the event loop."""
MAX_KINDS = 200
FLUSH_SECONDS = 0.5
"""Maximum seconds for sending what is left when the process ends."""
LOG_SECONDS = 60.0
"""Seconds between two lines about faults that cannot be sent."""
PROBLEM_SECONDS = 900.0
"""Seconds for which a lost fault is a problem: faults are rare, so that none may come to show that it is over."""

_KEPT = ("event_id", "timestamp", "level", "platform", "logger", "release", "environment", "server_name", "sdk")
_FRAME = ("filename", "function", "module", "lineno", "in_app", "pre_context", "context_line", "post_context")


class Sentry:
    """Sends the errors of this process's log. `lost` counts those that could not be sent."""

    def __init__(self, dsn: str) -> None:
        """Prepare. Raises ValueError if the DSN is invalid."""
        self.lost = 0
        self._reason = ""
        """Why the last fault could not be sent; empty if it was sent."""
        self._lost_at = float("-inf")
        self._next_log = float("-inf")
        noted = self

        class Transport(HttpTransport):
            def on_dropped_event(self, reason: str) -> None:
                noted._note_lost(reason)

            def _handle_response(self, response: Any, envelope: Any) -> None:
                if 200 <= response.status < 300:
                    noted._reason = ""
                super()._handle_response(response, envelope)

        try:
            sentry_sdk.init(
                dsn,
                release=f"{NAME}@{VERSION}",
                transport=Transport,
                before_send=lambda event, _: cast("Event", bare(event)),
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                max_request_body_size="never",
                send_default_pii=False,
                max_breadcrumbs=0,
                auto_session_tracking=False,
                send_client_reports=False,
                spotlight=False,
            )
        except Exception as error:  # its text may quote the key
            raise ValueError(
                "sentry_dsn is not a DSN; expected one such as https://key@sentry.example.org/1"
            ) from error
        self._handler = _Handler(level=logging.ERROR)

    @property
    def problem(self) -> str:
        """A sentence on why faults cannot be sent; empty if they can, or none was lost lately."""
        if not self._reason or time.monotonic() - self._lost_at > PROBLEM_SECONDS:
            return ""
        return f"faults cannot be sent to Sentry ({self._reason}): check sentry_dsn and whether the server answers"

    def start(self) -> None:
        """Begin to send errors of the log: after Django is set up, which replaces all handlers."""
        for name in LOGGERS:
            # First: the filters of the other handlers put arguments into the message.
            logging.getLogger(name).handlers.insert(0, self._handler)

    def close(self) -> None:
        """Send what is left, within FLUSH_SECONDS; blocks."""
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)
        sentry_sdk.get_client().close(timeout=FLUSH_SECONDS)

    def _note_lost(self, reason: str) -> None:
        self.lost += 1
        self._reason, self._lost_at = reason, time.monotonic()
        if time.monotonic() >= self._next_log:
            self._next_log = time.monotonic() + LOG_SECONDS
            log.warning("%s faults could not be sent to Sentry: %s", self.lost, reason)


class _Handler(EventHandler):
    """Sends the errors of a log, one of each kind in KIND_SECONDS."""

    def __init__(self, level: int) -> None:
        super().__init__(level=level)
        self._sent: dict[object, float] = {}
        self._kinds = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Send an error. The record stays as it is: the log formats it later."""
        try:
            if not self._is_repeated(record):
                self._emit(record)
        except Exception:  # a fault in reporting a fault must not stop what is being done
            self.handleError(record)

    def _is_repeated(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[0] if record.exc_info else None
        kind = (record.name, str(record.msg) if record.args else None, error)
        now = time.monotonic()
        with self._kinds:
            if now < self._sent.get(kind, float("-inf")) + KIND_SECONDS:
                return True
            if len(self._sent) >= MAX_KINDS:
                self._sent.clear()
            self._sent[kind] = now
        return False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do nothing: the log itself has the record."""


def bare(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of Sentry with what cannot hold a part of an event of a stream."""
    kept: dict[str, Any] = {key: event[key] for key in _KEPT if key in event}
    name = str(event.get("logger") or "")
    message = (event.get("logentry") or {}).get("message")
    if message and name.startswith(OURS):
        kept["logentry"] = {"message": message}
    faults = (event.get("exception") or {}).get("values")
    if faults:
        kept["exception"] = {"values": [_fault(each) for each in faults]}
    return kept


def _fault(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an exception without its text."""
    kept = {key: value[key] for key in ("type", "module", "mechanism") if value.get(key)}
    if "mechanism" in kept:
        kept["mechanism"] = {key: each for key, each in kept["mechanism"].items() if key in ("type", "handled")}
    frames = (value.get("stacktrace") or {}).get("frames") or ()
    return {**kept, "stacktrace": {"frames": [{key: each[key] for key in _FRAME if key in each} for each in frames]}}
