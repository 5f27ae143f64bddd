"""Our Daphne server with an application that does what none should: the server must live with it.

Run by test_exception_after_headers: ``python -m tests.support.broken.careless --port N``
"""

from __future__ import annotations

import os
import sys
from typing import Any


async def careless(scope: Any, receive: Any, send: Any) -> None:
    """`/fail`: raises before it answers. `/raise`: raises in the middle of its answer. `/forget`: ends without ending
    its answer. `/give-up`: ends without an answer. `/twisted`: something fails where only Twisted sees it.

    `/wait`: waits for the client to leave. Else: how many connections the server has in its books.
    """
    path = scope["path"]
    if path == "/fail":
        raise RuntimeError("before an answer")
    if path == "/give-up":
        return
    if path == "/twisted":
        from twisted.internet import reactor  # Daphne's, by now

        reactor.callLater(0, _fail)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path in ("/raise", "/forget", "/wait"):
        await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
    if path == "/raise":
        raise RuntimeError("in the middle of an answer")
    if path == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
    elif path != "/forget":
        await send({"type": "http.response.body", "body": b"%d" % len(server.connections)})


def _fail() -> None:
    raise RuntimeError("in a callback of Twisted's")


if __name__ == "__main__":
    import uvloop

    uvloop.install()

    import django

    django.setup()

    from eventstreams_site.config.config import load_config
    from eventstreams_site.process import Process
    from eventstreams_site.server import descriptors
    from eventstreams_site.server.accepting import Listening
    from eventstreams_site.server.listening import listen
    from eventstreams_site.server.server import StreamServer

    config, places = descriptors.bounded(load_config(os.environ))
    server = StreamServer(Process(config), places)
    server.application = careless
    server.run_with(
        Listening(
            listen("127.0.0.1", int(sys.argv[2])), server.adopt, server.room.has_room, server.accept_failures.note
        )
    )
