"""`manage.py serve` where errors say all that they know, and whose memory is searched for a name on demand.

Records with a member `boom` make the redactor raise an exception that holds them. Once the file `<config>.search` is
there, `<config>.found` is written: a line for each place in memory that holds CANARY, as the types on the way to it.

Run by test_redacted_names_never_appear: ``python -m tests.support.broken.searched --port N``
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import CoroutineType
from typing import Any

import msgspec
from aiokafka.conn import AIOKafkaConnection

CANARY_BACKWARDS = "e7sfx2wq9dnGyranaC"
"""So that the name itself is nowhere in memory but where it has been brought."""
BOOM = "boom"

log = logging.getLogger(__name__)


def places() -> Iterator[str]:
    """Every text, byte string and buffer that holds the name, once for each object that refers to it.

    They are reached from modules and threads, or only collectable.

    Not looked at: aiokafka's connections, whose reader keeps the broker's last answer until the next one comes.
    """
    text = CANARY_BACKWARDS[::-1]
    name = text.encode()
    seen: dict[int, tuple[Any, int]] = {}  # with the object itself, so that no id is used twice
    own_frame = sys._getframe()
    rest = gc.get_objects()
    todo: deque[tuple[Any, int]] = deque([(sys.modules, 0)])
    todo.extend((frame, 0) for thread, frame in sys._current_frames().items() if thread != threading.get_ident())
    holding: set[int] = set()
    own = {id(seen), id(todo), id(rest), id(own_frame), id(holding)}
    while todo or rest:
        found, parent = todo.popleft() if todo else (rest.pop(), 0)
        if id(found) in own or (id(found) in seen and id(found) not in holding):
            continue
        seen.setdefault(id(found), (found, parent))
        if isinstance(found, str):
            holds = text in found and found is not text
        elif isinstance(found, bytes | bytearray | memoryview | msgspec.Raw):
            holds = name in bytes(found) and found is not name
        else:
            holds = False
            if issubclass(type(found), msgspec.Struct):  # events: they are outside the garbage collector
                todo.extend((getattr(found, field), id(found)) for field in found.__struct_fields__)
            elif not is_connection(found):
                todo.extend((item, id(found)) for item in gc.get_referents(found))
        if holds:
            holding.add(id(found))
            way = [type(found).__name__]
            while parent:
                owner, parent = seen[parent]
                way.append(getattr(owner, "__qualname__", type(owner).__qualname__))
            yield " < ".join(way)


def is_connection(found: object) -> bool:
    """A connection of aiokafka's, or the coroutine that reads from one; lazy objects are not to be woken by asking."""
    kind = type(found)
    return kind is AIOKafkaConnection or (
        kind is CoroutineType and getattr(found, "__qualname__", "") == "AIOKafkaConnection._read"
    )


def search_on_demand() -> None:
    config = Path(os.environ["EVENTSTREAMS_CONFIG"])
    demand, report = config.with_suffix(".search"), config.with_suffix(".found")
    while True:
        while not demand.exists():
            time.sleep(0.05)
        gc.collect()
        log.debug("Searching for a name")
        lines = "".join(f"{place}\n" for place in places())
        demand.unlink()
        report.with_suffix(".part").write_text(lines)
        report.with_suffix(".part").rename(report)


def make_errors_outspoken() -> None:
    from eventstreams_site.logs.lines import RepeatLimit
    from redaction.redactor import Redactor
    from streams.engine.encoder import Encoder
    from streams.engine.metrics import Metrics
    from streams.engine.tuning import Tuning

    RepeatLimit.SECONDS = 0.0
    begin, redact = Encoder.__init__, Redactor.redact

    def verbose(self: Encoder, redactor: Redactor, metrics: Metrics, tuning: Tuning) -> None:
        begin(self, redactor, metrics, replace(tuning, skipped_log_seconds=1e-9))  # each record is worth a line

    def outspoken(self: Redactor, event: dict[str, msgspec.Raw], meta: dict[str, msgspec.Raw] | None = None) -> bool:
        if BOOM in event:
            raise ValueError({name: bytes(raw) for name, raw in event.items()})
        return redact(self, event, meta)

    Encoder.__init__ = verbose  # type: ignore[method-assign]
    Redactor.redact = outspoken  # type: ignore[method-assign]


if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    make_errors_outspoken()
    threading.Thread(target=search_on_demand, daemon=True).start()
    execute_from_command_line(["manage.py", "serve", *sys.argv[1:]])
