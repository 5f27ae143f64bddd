"""The options of `serve`: Django's command and the supervisor, which does without Django, read the same ones."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentError, ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

PART = "--part"
"""What a process that the supervisor starts is to do; nobody else gives this option."""
CHECK, WORKER = "check", "worker"


def add_options(parser: ArgumentParser) -> None:
    """Add the options to a parser."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8092, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="number of processes that share the port, each with its own Kafka reader; at most one per core is useful "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--ops-port",
        type=int,
        metavar="PORT",
        help="second port, which must not be public: /healthz, /readyz and /metrics of all workers, and `manage.py "
        "reload` (default: none)",
    )
    parser.add_argument("--ops-host", default="127.0.0.1", help="address of the operations port (default: %(default)s)")
    parser.add_argument(PART, help=SUPPRESS)


def is_supervised(options: Mapping[str, Any]) -> bool:
    """Return whether these options ask for a supervisor."""
    return options["workers"] > 1 or options["ops_port"] is not None


def supervisor_options(arguments: Sequence[str]) -> Namespace | None:
    """Return the options if these arguments of `serve` ask for a supervisor; None if Django is to read them."""
    parser = ArgumentParser(add_help=False, exit_on_error=False)
    add_options(parser)
    try:
        options, _ = parser.parse_known_args(arguments)
    except (ArgumentError, SystemExit):
        return None
    return options if is_supervised(vars(options)) and options.part is None else None


def part_of(text: str) -> tuple[str, list[int]]:
    """Return what a part is to do, and the descriptors that it has for that."""
    part, _, descriptors = text.partition(":")
    return part, [int(each) for each in descriptors.split(",")]
