"""Download exactly one hour of events, one event (JSON) per line, and end; with Python's standard library.

    python one_hour.py [HOUR [URL]] > events.ndjson

HOUR is a time such as 2026-11-28T18:00Z; by default, the last full hour. When the connection breaks, it resumes after
the last event: no event is missing and none is repeated.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

HOUR = timedelta(hours=1)
LAST = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR
START = datetime.fromisoformat(sys.argv[1]) if len(sys.argv) > 1 else LAST
URL = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8092/v2/stream/recentchange"
CHOICE = urlencode({"since": START.isoformat(), "until": (START + HOUR).isoformat(), "canary": "false"})


def download(last_id: str) -> tuple[str, bool]:
    """Print the events of one connection; return the id of the last one, and whether that was all."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id}
    kind = identifier = ""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{URL}?{CHOICE}", headers=headers), timeout=60) as lines:
            if lines.status == 204:
                return last_id, True  # the id was that of the end
            for line in lines:
                field, _, text = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    kind = text
                elif field == "id":
                    identifier = text
                elif field == "data" and kind == "message":
                    print(text, flush=True)
                    last_id = identifier
                elif field == "data" and kind == "end":
                    print(json.loads(text)["events"], "events since the last connection; that was all", file=sys.stderr)
                    return identifier, True
                elif field == "data":  # `event: error`: the stream ends after it
                    print("error from the server:", text, file=sys.stderr)
    except urllib.error.HTTPError as error:
        if error.code < 500 and error.code != 429:
            sys.exit(error.read().decode())  # the request is wrong
        print("reconnecting:", error, file=sys.stderr)
    except (OSError, http.client.HTTPException) as error:
        print("reconnecting:", error, file=sys.stderr)
    return last_id, False


last_id, is_all = download("")
while not is_all:
    time.sleep(5)
    last_id, is_all = download(last_id)
