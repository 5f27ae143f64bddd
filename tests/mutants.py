"""Faults planted on purpose: a test of each must fail. `make mutants` plants them one by one, in a copy of the tree.

Run from the repository: ``python -m tests.mutants``, with names for some of them only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 180.0
"""Maximum seconds of one run of a test."""


class Mutant(NamedTuple):
    """In `file`, `old`, which is there once, becomes `new`; `test` then fails."""

    name: str
    file: str
    old: str
    new: str
    test: str


PLANTED = "tests/unit/test_planted_faults.py::"
HELD = "tests/unit/engine/test_held_bytes.py::"
TURNS = "tests/unit/engine/test_turns.py::"

MUTANTS = [
    Mutant(
        "merge-disorder",
        "streams/engine/replay/merge.py",
        "until = min(oldest[1][0], oldest[min(2, len(oldest) - 1)][0]) if",
        "until = 5 + min(oldest[1][0], oldest[min(2, len(oldest) - 1)][0]) if",
        PLANTED + "test_partitions_whose_events_are_a_few_milliseconds_apart_are_merged_in_their_order",
    ),
    Mutant(
        "strikes-kept",
        "streams/engine/tail/placing.py",
        "strikes = strikes + 1 if verdict else 0",
        "strikes = strikes + 1 if verdict else strikes",
        PLANTED + "test_a_log_that_looks_new_three_times_but_not_in_a_row_does_not_begin_anew",
    ),
    Mutant(
        "ring-never-compacts",
        "streams/core/ring.py",
        "if self._head > 64 and self._head * COMPACT > len(self._events):",
        "if False:",
        HELD + "test_a_ring_never_takes_more_than_its_bound[100]",
    ),
    Mutant(
        "ring-keeps-what-left",
        "streams/core/ring.py",
        "            self._events[self._head] = _GONE\n",
        "",
        HELD + "test_a_ring_never_takes_more_than_its_bound[1400]",
    ),
    Mutant(
        "held-while-parked",
        "streams/engine/replay/catch_up.py",
        "        if self._slot is None:\n            return  # it was parked while it waited\n",
        "",
        PLANTED + "test_a_client_that_is_parked_while_it_reads_holds_nothing_of_it_and_waits_for_its_turn",
    ),
    Mutant(
        "mostly-sent-ignored",
        "streams/engine/replay/catch_up.py",
        "self._slot.is_over and merge.is_mostly_sent:",
        "self._slot.is_over:",
        PLANTED + "test_readers_of_many_partitions_send_most_of_what_they_read_before_their_turn_ends",
    ),
    Mutant(
        "no-recheck",
        "eventstreams_site/process.py",
        "            client.recheck(catalogue)\n",
        "            pass\n",
        PLANTED + "test_who_follows_a_stream_is_asked_again_whenever_the_catalogue_is_another",
    ),
    Mutant(
        "database-connection-kept",
        "eventstreams_site/watch.py",
        "                connections.close_all()  #",
        "                pass  #",
        PLANTED + "test_a_connection_to_the_database_that_failed_is_closed_before_the_next_question",
    ),
    Mutant(
        "no-turn-in-the-tail",
        "streams/engine/turns.py",
        "await asyncio.sleep(0)",
        "pass",
        TURNS + "test_the_tail_gives_the_loop_a_turn_between_partitions_and_within_a_large_fetch",
    ),
    Mutant(
        "no-turn-in-catching-up",
        "streams/engine/replay/catch_up.py",
        "                passed = 0\n                await asyncio.sleep(0)\n",
        "                passed = 0\n",
        TURNS + "test_a_client_that_catches_up_out_of_memory_leaves_turns_to_others",
    ),
    Mutant(
        "no-turn-in-decoding",
        "streams/engine/kafka/batches.py",
        "                await asyncio.sleep(0)\n        self.made",
        "                pass\n        self.made",
        "tests/unit/engine/kafka/test_batches.py::test_the_event_loop_has_turns_while_a_large_fetch_is_decoded",
    ),
    Mutant(
        "decompressed-in-the-loop",
        "streams/engine/kafka/batches.py",
        "if nbytes > tuning.decompress_bytes and",
        "if False and",
        "tests/unit/engine/kafka/test_batches.py::test_a_large_batch_is_decompressed_while_the_event_loop_goes_on",
    ),
    Mutant(
        "steps-unbounded",
        "streams/engine/tail/feed.py",
        "while self._step_bytes > self._max_bytes // STEP_SHARE and len(self._steps) > 1:",
        "while False:",
        HELD + "test_clients_at_a_thousand_places_in_a_quiet_feed_cost_no_more_than_one",
    ),
    Mutant(
        "blocks-not-counted",
        "streams/engine/tail/feed.py",
        "        self._bytes += block.held_bytes\n",
        "",
        HELD + "test_a_feed_never_takes_more_than_its_bound",
    ),
    Mutant(
        "look-ahead-unbounded",
        "streams/engine/replay/catch_up.py",
        "share = min(self._tuning.chunk_bytes, self._tuning.look_ahead_bytes // len(targets))",
        "share = self._tuning.chunk_bytes",
        "tests/unit/engine/replay/test_held_history.py::"
        "test_a_client_holds_a_bounded_part_of_the_rings_however_many_partitions_it_reads",
    ),
    Mutant(
        "readers-not-counted",
        "streams/engine/replay/history.py",
        "if block.nbytes and block.readers == 1 and not block.is_kept:",
        "if False:",
        "tests/unit/engine/replay/test_held_history.py::test_what_a_reader_holds_beyond_the_cache_is_counted_until_it_lets_go",
    ),
    Mutant(
        "any-timestamp",
        "streams/core/positions.py",
        "return ms if ms is not None and -1 <= ms < MAX_OFFSET else -1 if ms is None or ms < 0 else MAX_OFFSET - 1",
        "return -1 if ms is None else ms",
        "tests/unit/core/test_any_timestamp.py::test_every_id_is_taken_and_resumes_after_its_event",
    ),
    Mutant(
        "meta-found-anywhere",
        "streams/core/events.py",
        "value.find(beginning) != start",
        "start < 0",
        "tests/unit/core/test_events_meta.py::test_what_is_added_stands_in_the_event_s_own_meta",
    ),
    Mutant(
        "fault-ends-the-rounds",
        "streams/engine/tail/fanout.py",
        "with self._faults.caught(_WRITING):  # or no round",
        "if True:  # or no round",
        "tests/unit/engine/tail/test_fanout.py::"
        "test_a_fault_outside_of_all_followers_is_counted_and_the_next_round_begins_all_the_same",
    ),
    Mutant(
        "haproxy-holds-back",
        "deploy/haproxy/haproxy.cfg",
        "    option http-no-delay\n",
        "",
        "tests/integration/test_proxies.py::test_haproxy_holds_back_no_event_of_a_client_without_tls",
    ),
    Mutant(
        "compare-shows-names",
        "streams/compare/shape.py",
        "shown = name if is_a_schemas(name) else",
        "shown = name if name.islower() else",
        "tests/unit/compare/test_compare_services.py::test_names_of_the_schemas_are_shown_and_no_other",
    ),
]


def plant(mutant: Mutant, root: Path) -> None:
    """Change the file below `root`. Raises ValueError where its text is not there exactly once."""
    path = root / mutant.file
    text = path.read_text() if path.exists() else ""
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name}: {mutant.file} has {mutant.old.strip()!r} {text.count(mutant.old)} times, not once: "
            "say in tests/mutants.py where that is now"
        )
    path.write_text(text.replace(mutant.old, mutant.new))


def _copy(into: Path) -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)


def _passes(test: str, root: Path) -> bool:
    """Whether the test passes there. Raises RuntimeError where it was not run at all."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", test]
    run = subprocess.run(command, cwd=root, env={**os.environ}, capture_output=True, text=True, timeout=SECONDS)
    if run.returncode not in (0, 1) or "no tests ran" in run.stdout:
        raise RuntimeError(f"{test} was not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.returncode == 0


def main(names: list[str]) -> int:
    """Try all mutants, or those that are named; how many were not noticed, or could not be tried."""
    unknown = set(names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        print(f"There is no mutant {', '.join(sorted(unknown))}; there are {', '.join(m.name for m in MUTANTS)}")
        return 1
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root = Path(folder)
        _copy(root)
        for mutant in [mutant for mutant in MUTANTS if not names or mutant.name in names]:
            said = _tried(mutant, root)
            wrong += bool(said)
            print(f"{mutant.name}: {said or 'noticed'}", flush=True)
    print(f"{wrong} of the planted faults were not noticed, or not tried" if wrong else "All were noticed")
    return wrong


def _tried(mutant: Mutant, root: Path) -> str:
    """What is wrong with the mutant, or "" where its test passes without it and fails with it."""
    original = root / mutant.file
    text = original.read_text() if original.exists() else ""
    try:
        if not _passes(mutant.test, root):
            return f"{mutant.test} fails without it"
        plant(mutant, root)
        return f"NOT NOTICED by {mutant.test}" if _passes(mutant.test, root) else ""
    except subprocess.TimeoutExpired:
        return f"{mutant.test} took longer than {SECONDS:.0f} s"
    except (RuntimeError, ValueError) as error:
        return str(error)
    finally:
        original.write_text(text)


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
