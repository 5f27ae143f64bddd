"""Follow streams with requests-sse, one event (JSON) per line; resume after the last event, even after a restart.

    pip install requests-sse
    python requests_sse_client.py [URL [FILE]]

FILE keeps the id of the last event; without that file, streaming starts now. Use one file per URL.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import requests
from requests_sse import EventSource, InvalidStatusCodeError, MessageEvent

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8092/v2/stream/recentchange"
FILE = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_suffix(".last-id")


def follow(last_id: str) -> Iterator[MessageEvent]:
    """Yield the events after the one with this id, or from now on for ""."""
    while True:
        source = EventSource(
            URL,
            latest_event_id=last_id,
            reconnection_time=timedelta(seconds=1),  # doubled before each attempt, without a limit
            max_connect_retry=4,  # so it gives up after 30 seconds, and we start again
            timeout=60,  # an idle server sends a keep-alive every 15 seconds
        )
        wait = 5.0
        try:
            with source:
                for message in source:
                    if message.type == "error":
                        print("error from the server:", message.data, file=sys.stderr)
                        continue  # the stream ends after it, and the source reconnects when the server has told it to
                    if message.type == "end":  # of `until` or `limit`
                        keep(message.last_event_id)
                        return
                    yield message
                    last_id = message.last_event_id
        except InvalidStatusCodeError as error:
            answer = error.response
            if error.status_code == 204:
                return  # all events before `until` are here
            if error.status_code < 500 and error.status_code != 429:
                # The request is wrong: there is no such stream, or the id is of another one.
                sys.exit(answer.text if answer is not None else str(error))
            if answer is not None:
                wait = float(answer.headers.get("Retry-After", wait))
            print("reconnecting:", error, file=sys.stderr)
        except requests.RequestException as error:
            print("reconnecting:", error, file=sys.stderr)
        time.sleep(wait)


def keep(last_id: str) -> None:
    """Save the id; the file is replaced as a whole, never half written."""
    new = FILE.with_suffix(".new")
    new.write_text(last_id)
    new.replace(FILE)


for message in follow(FILE.read_text() if FILE.exists() else ""):
    event = json.loads(message.data or "{}")
    if event["meta"].get("domain") != "canary":  # a test event
        print(json.dumps(event), flush=True)
    keep(message.last_event_id)
