"""Follows streams with requests-sse, one event (JSON) a line; goes on after the last event, also when it is restarted.

    pip install requests-sse
    python requests_sse_client.py [URL [FILE]]

FILE keeps the id of the last event; without such a file it starts from now. One file is for one URL.
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
    """Events after the one with that id; "" for those from now on."""
    while True:
        source = EventSource(
            URL,
            latest_event_id=last_id,
            reconnection_time=timedelta(seconds=1),  # doubled before each try, without a bound
            max_connect_retry=4,  # so after 30 seconds of tries it gives up, and we begin anew
            timeout=60,  # an idle server gives a sign of life every 15 seconds
        )
        wait = 5.0
        try:
            with source:
                for message in source:
                    if message.type == "error":
                        print("the server says:", message.data, file=sys.stderr)
                        continue  # the stream ends now, and the source comes back when the server has said
                    yield message
                    last_id = message.last_event_id
        except InvalidStatusCodeError as error:
            if error.status_code < 500 and error.status_code != 429:
                sys.exit(error.response.text)  # the request is wrong: no such stream, or an id of another one
            wait = float(error.response.headers.get("Retry-After", wait))
            print("connecting again:", error, file=sys.stderr)
        except requests.RequestException as error:
            print("connecting again:", error, file=sys.stderr)
        time.sleep(wait)


def keep(last_id: str) -> None:
    """Whole or not at all."""
    new = FILE.with_suffix(".new")
    new.write_text(last_id)
    new.replace(FILE)


for message in follow(FILE.read_text() if FILE.exists() else ""):
    event = json.loads(message.data)
    if event["meta"].get("domain") != "canary":  # a probe of the pipeline
        print(json.dumps(event), flush=True)
    keep(message.last_event_id)
