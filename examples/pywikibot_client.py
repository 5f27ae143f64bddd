"""Follows streams with Pywikibot's EventStreams, one event (JSON) a line; goes on after the last event that it had.

    pip install pywikibot requests-sse
    python pywikibot_client.py [URL [FILE]]

FILE keeps the id of the last event for the next start; without such a file it starts from now. One file is for one URL.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from requests_sse import InvalidStatusCodeError, MessageEvent

os.environ.setdefault("PYWIKIBOT_NO_USER_CONFIG", "2")  # a bot that edits has its user-config.py instead

import pywikibot
from pywikibot.comms.eventstreams import EventStreams

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8092/v2/stream/recentchange"
FILE = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_suffix(".last-id")

pywikibot.config.max_retries = 4  # the wait doubles with each: by default, an hour of outage becomes two


class Follower:
    """`last_id` is that of the event which came last: EventStreams has it, and gives only the event."""

    def __init__(self, last_id: str) -> None:
        self.last_id = last_id

    def events(self) -> Iterator[dict[str, Any]]:
        """EventStreams itself discards canary events, says what the server says of errors, and connects again."""
        while True:
            stream = EventStreams(
                url=URL,
                site=None,  # it would be asked who we are; a bot gives its own
                retry=1000,  # ms
                # As a header: what it makes of `latest_event_id` is lost when an error is the first thing to come.
                headers={"Last-Event-ID": self.last_id},
                on_message=self._heard,
            )
            wait = 5.0
            try:
                yield from stream
            except InvalidStatusCodeError as error:
                if error.status_code < 500 and error.status_code != 429:
                    sys.exit(error.response.text)  # the request is wrong: no such stream, or an id of another one
                wait = float(error.response.headers.get("Retry-After", wait))
                pywikibot.warning(f"Connecting again: {error}")
            except requests.RequestException as error:
                pywikibot.warning(f"Connecting again: {error}")
            time.sleep(wait)

    def _heard(self, message: MessageEvent) -> None:
        self.last_id = message.last_event_id


def keep(last_id: str) -> None:
    """Whole or not at all."""
    new = FILE.with_suffix(".new")
    new.write_text(last_id)
    new.replace(FILE)


follower = Follower(FILE.read_text() if FILE.exists() else "")
for event in follower.events():
    print(json.dumps(event), flush=True)
    keep(follower.last_id)
