"""Follow streams with httpx-sse, one event (JSON) per line; resume after the last event, even after a restart.

    pip install httpx-sse
    python httpx_sse_client.py [URL [FILE]]

FILE keeps the id of the last event; without that file, streaming starts now. Use one file per URL.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from httpx_sse import ServerSentEvent, connect_sse

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8092/v2/stream/recentchange"
FILE = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_suffix(".last-id")


def follow(last_id: str) -> Iterator[ServerSentEvent]:
    """Yield the events after the one with this id, or from now on for "". httpx-sse itself does not reconnect."""
    wait = 1.0
    # httpx would give up after 5 seconds of silence; an idle server sends a keep-alive every 15.
    with httpx.Client(timeout=httpx.Timeout(10, read=60)) as client:
        while True:
            try:
                with connect_sse(client, "GET", URL, headers={"Last-Event-ID": last_id}) as source:
                    answer = source.response
                    if answer.status_code != 200:
                        said = answer.read().decode()
                        if answer.status_code == 204:
                            return  # all events before `until` are here
                        if answer.status_code < 500 and answer.status_code != 429:
                            sys.exit(said)  # the request is wrong: there is no such stream, or the id is of another one
                        wait = float(answer.headers.get("Retry-After", 5))
                        print("reconnecting:", said, file=sys.stderr)
                    else:
                        for sse in source.iter_sse():
                            if sse.event == "error":  # the stream ends after it
                                wait = (sse.retry or 5000) / 1000
                                print("error from the server:", sse.data, file=sys.stderr)
                            elif sse.event == "end":  # of `until` or `limit`
                                keep(sse.id)
                                return
                            else:
                                yield sse
                                last_id, wait = sse.id, 1.0
            except httpx.TransportError as error:
                print("reconnecting:", error, file=sys.stderr)
            time.sleep(wait)
            wait = min(wait * 2, 60.0)


def keep(last_id: str) -> None:
    """Save the id; the file is replaced as a whole, never half written."""
    new = FILE.with_suffix(".new")
    new.write_text(last_id)
    new.replace(FILE)


for sse in follow(FILE.read_text() if FILE.exists() else ""):
    event = json.loads(sse.data)
    if event["meta"].get("domain") != "canary":  # a test event
        print(json.dumps(event), flush=True)
    keep(sse.id)
