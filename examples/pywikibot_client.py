"""Follow streams with Pywikibot's EventStreams, one event (JSON) per line; resume after the last event.

    pip install pywikibot requests-sse
    python pywikibot_client.py [URL [FILE]]

FILE keeps the id of the last event for the next start; without that file, streaming starts now. Use one file per URL.
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

pywikibot.config.max_retries = 4  # the wait doubles each time: by default, an outage of an hour lasts two


class Follower:
    """Follows one URL; `last_id` is the id of the last event, which EventStreams knows but does not give."""

    def __init__(self, last_id: str) -> None:
        self.last_id = last_id

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events; EventStreams discards canary events, logs the server's errors and reconnects."""
        while True:
            stream = EventStreams(
                url=URL,
                site=None,  # a bot gives its own, which tells the server who it is
                retry=1000,  # ms
                # As a header: its `latest_event_id` is lost if an error comes first.
                headers={"Last-Event-ID": self.last_id},
                on_message=self._remember,
            )
            wait = 5.0
            try:
                yield from stream
            except InvalidStatusCodeError as error:
                answer = error.response
                if error.status_code == 204:
                    return  # it has reconnected after the end of `until`: all events are here
                if error.status_code < 500 and error.status_code != 429:
                    # The request is wrong: there is no such stream, or the id is of another one.
                    sys.exit(answer.text if answer is not None else str(error))
                if answer is not None:
                    wait = float(answer.headers.get("Retry-After", wait))
                pywikibot.warning(f"Reconnecting: {error}")
            except requests.RequestException as error:
                pywikibot.warning(f"Reconnecting: {error}")
            time.sleep(wait)

    def _remember(self, message: MessageEvent) -> None:
        self.last_id = message.last_event_id


def keep(last_id: str) -> None:
    """Save the id; the file is replaced as a whole, never half written."""
    new = FILE.with_suffix(".new")
    new.write_text(last_id)
    new.replace(FILE)


follower = Follower(FILE.read_text() if FILE.exists() else "")
for event in follower.events():
    print(json.dumps(event), flush=True)
    keep(follower.last_id)
