"""What the service costs and how fast it is, against a real Kafka and real sockets: a table, then JSON.

Each row of the table of goals is one command, as in ``python -m benchmarks.run live-500-30``; ``--list`` has them all,
and what regression each of them watches. Without names all are run (``make bench``). Needs Java, Go and Linux; peers
(nchan, django-eventstream) are measured where they are installed (``make peers``). All is on loopback, in a temporary
folder; nothing is left behind. Figures are per second of the server's own CPU time, so that a busy machine disturbs
them less; the median of the rounds is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import json
import signal
import sys
from collections.abc import Sequence

from benchmarks import results
from benchmarks.goals import HEAD, Bench, Figures, Options, Row, aligned, lines, shown
from benchmarks.proc import busy_percent
from benchmarks.rig import BenchmarkError, Rig, rig
from benchmarks.rows import ROWS
from benchmarks.subjects import PEERS, installed_peers
from streams.local.kafka import LocalKafkaError

ROW_SECONDS = 150.0
"""A round that lasts longer is cut off, apart from the time that churn is asked to take."""


async def measure(bench: Bench, row: Row, rounds: int) -> list[Figures]:
    """Return what the rounds of one row measured; a round that failed is printed and left out."""
    measured = []
    for number in range(rounds):
        try:
            async with asyncio.timeout(ROW_SECONDS + bench.options.churn_seconds):
                measured.append(await row.run(bench))
        except TimeoutError:
            _say(f"{row.name}, round {number + 1}, was not done in time")
        except (BenchmarkError, LocalKafkaError, OSError, LookupError, ZeroDivisionError) as error:
            _say(f"{row.name}, round {number + 1}, failed: {type(error).__name__}: {error}")
    return measured


async def run(rig: Rig, rows: Sequence[Row], options: argparse.Namespace) -> dict[str, results.Results]:
    """Measure the rows; each is printed when it is done, its lines of the table, then JSON, and kept with --save."""
    measured = {}
    here = results.machine()
    for row in rows:
        peers = options.peers if options.peers is not None else _compared_with(row)
        bench = Bench(rig, Options(options.seconds, options.events, options.churn_seconds, tuple(peers)))
        busy = await busy_percent()
        if busy > results.BUSY_PERCENT:
            _say(f"Other work takes {busy:.0f} % of the machine: {row.name} will say little")
        rounds = await measure(bench, row, options.rounds)
        if rounds:
            measured[row.name] = results.measured(rounds, busy)
            print(aligned(lines(row, results.medians(rounds))))
            print(json.dumps({"benchmark": row.name, **measured[row.name]}), flush=True)
            if options.save:
                results.save(results.merge(results.load(), {row.name: measured[row.name]}, here))
    return measured


def _compared_with(row: Row) -> list[str]:
    """The peers that goals of the row name, as far as they are installed."""
    return [peer for peer in installed_peers() if any(goal.figure == f"times {peer}" for goal in row.goals)]


def chosen(patterns: Sequence[str]) -> list[Row]:
    """Return the rows of those names, in which * stands for anything; all without any. Raises BenchmarkError."""
    for pattern in patterns:
        if not fnmatch.filter(ROWS, pattern):
            raise BenchmarkError(f"There is no row {pattern}; --list has them")
    return [row for name, row in ROWS.items() if not patterns or any(fnmatch.fnmatch(name, p) for p in patterns)]


def listing() -> str:
    """Return every row with its goals and what it watches."""
    return "\n".join(
        f"{row.name}: {row.what}\n"
        + "".join(f"    {goal.label} {goal.relation} {shown(goal.bound)}\n" for goal in row.goals)
        + f"    watches {row.watches}"
        for row in ROWS.values()
    )


def _compare(measured: dict[str, results.Results]) -> list[str]:
    committed = results.committed()
    _say(results.compared_with(committed))
    return results.worse(committed["rows"], measured)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").partition("\n")[0])
    default = Options()
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names, in which * stands for anything (default: all)")
    parser.add_argument("--list", action="store_true", help="show the rows, their goals and what they watch")
    parser.add_argument("--rounds", type=int, default=1, help="of each row; medians are shown (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=default.seconds, help="of each window (default: %(default)s)")
    parser.add_argument("--events", type=int, default=default.events, help="of history (default: %(default)s)")
    parser.add_argument("--churn-seconds", type=int, default=default.churn_seconds, help="(default: %(default)s)")
    parser.add_argument(
        "--peers", nargs="*", choices=PEERS, help="measured in live rows (default: nchan, where a goal names it)"
    )
    parser.add_argument("--save", action="store_true", help="merge into benchmarks/results/results.json")
    parser.add_argument(
        "--check", action="store_true", help="name what is over 15 %% worse than as committed; exit status 1 then"
    )
    return parser.parse_args()


def main() -> None:
    """Run the chosen rows, and print and save what they measured."""
    options = _options()
    if options.list:
        print(listing())
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # that what was started is ended, and the folder removed
    try:
        rows = chosen(options.rows)
        with rig() as started:
            measured = asyncio.run(run(started, rows, options))
    except (BenchmarkError, LocalKafkaError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped.")
    if len(measured) > 1:
        every = [line for name, one in measured.items() for line in lines(ROWS[name], results.medians(one["rounds"]))]
        print(aligned([HEAD, *every]))
    slower = _compare(measured) if options.check else []
    for said in slower:
        _say(f"Worse than as committed: {said}")
    if slower or len(measured) < len(rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
