"""Follow the new pages of one wiki, one title per line, with Python's standard library; resume after a restart.

    python new_pages.py [WIKI [URL [FILE]]]

The server sends only these events. FILE keeps the id of the last one; without that file, streaming starts now. Use one
file per wiki. While the wiki is quiet, a checkpoint brings a newer id each minute: without it, the server would have to
search all that has happened since the last new page when this program is started again.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

WIKI = sys.argv[1] if len(sys.argv) > 1 else "enwiki"
URL = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8092/v2/stream/recentchange"
FILE = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(__file__).with_suffix(".last-id")
CHOICE = urlencode({"wiki": WIKI, "type": "new", "namespace": 0, "canary": "false", "checkpoint": 60})


def follow() -> float:
    """Print the events of one connection; return the seconds to wait before the next one."""
    wait = 5.0
    kind = last_id = ""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": FILE.read_text() if FILE.exists() else ""}
    try:
        # An idle server sends a keep-alive every 15 seconds: after 60 without one, the connection is dead.
        with urllib.request.urlopen(urllib.request.Request(f"{URL}?{CHOICE}", headers=headers), timeout=60) as lines:
            for line in lines:
                field, _, text = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    kind = text
                elif field == "id":
                    last_id = text
                elif field == "retry":
                    wait = int(text) / 1000
                elif field == "data" and kind == "error":  # the stream ends after it
                    print("error from the server:", text, file=sys.stderr)
                elif field == "data":
                    if kind == "message":
                        print(json.loads(text)["title"], flush=True)
                    keep(last_id)
    except urllib.error.HTTPError as error:
        if error.code < 500 and error.code != 429:
            sys.exit(error.read().decode())  # the request is wrong
        wait = float(error.headers.get("Retry-After", wait))
        print("reconnecting:", error, file=sys.stderr)
    except (OSError, http.client.HTTPException) as error:
        print("reconnecting:", error, file=sys.stderr)
    return wait


def keep(last_id: str) -> None:
    """Save the id; the file is replaced as a whole, never half written."""
    new = FILE.with_suffix(".new")
    new.write_text(last_id)
    new.replace(FILE)


while True:
    time.sleep(follow())
