"""What is wrong with the workers of a supervisor, as sentences: each once, with the numbers of those that say it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eventstreams_site.server.slot import Slot

_AGE = re.compile(r"\d+(?= s ago)")


def unready(slots: Sequence[Slot]) -> list[str]:
    """Return why the service is not ready; empty if it is."""
    reasons = [
        f"worker {slot.number} keeps exiting soon after its start ({slot.failures} times in a row): see the log"
        for slot in slots
        if slot.is_crash_loop
    ]
    if not any(slot.worker is not None and slot.worker.is_ready for slot in slots):
        reasons += _not_ready(slots)
    return reasons


def degraded(slots: Sequence[Slot]) -> list[str]:
    """Return what is wrong while the service is ready."""
    reasons = _not_ready(slots)
    said: list[tuple[int, str]] = []
    for slot in slots:
        if slot.worker is not None:
            if slot.worker.is_silent:
                reasons.append(f"worker {slot.number} does not report; it gets no connections")
            said += [(slot.number, each) for each in slot.worker.degraded]
    return reasons + _of_workers(slots, said, ": ", ": ")


def _not_ready(slots: Sequence[Slot]) -> list[str]:
    said: list[tuple[int, str]] = []
    for slot in slots:
        why: Sequence[str] = ["it has exited and is restarted"]
        if slot.worker is not None:
            why = ["it is starting"] if slot.worker.unready is None else slot.worker.unready
        said += [(slot.number, each) for each in why]
    return _of_workers(slots, said, " is not ready: ", " are not ready: ")


def _of_workers(slots: Sequence[Slot], said: Sequence[tuple[int, str]], one: str, several: str) -> list[str]:
    """Return sentences, each once, after the workers that say it and the words between."""
    by_sentence: dict[str, tuple[str, list[str]]] = {}
    for number, sentence in said:
        by_sentence.setdefault(_AGE.sub("", sentence), (sentence, []))[1].append(str(number))
    found = []
    for sentence, numbers in by_sentence.values():
        who = f"worker {numbers[0]}"
        if len(numbers) > 1:
            who = "all workers" if len(numbers) == len(slots) else f"workers {', '.join(numbers)}"
        found.append(f"{who}{one if len(numbers) == 1 else several}{sentence}")
    return found
