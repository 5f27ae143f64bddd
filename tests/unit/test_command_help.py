"""`manage.py X --help` says what each command and each option does."""

from __future__ import annotations

from argparse import SUPPRESS
from pathlib import Path

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py"))
DJANGOS = {action.dest for action in BaseCommand().create_parser("manage.py", "x")._actions}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_what_each_option_means(name: str) -> None:
    app = get_commands()[name]
    assert isinstance(app, str)
    command = load_command_class(app, name)
    assert command.help.endswith("."), "sentences"
    assert not command.help.split()[0].endswith("s"), "a command begins with what to do: “Read”, not “Reads”"
    parser = command.create_parser("manage.py", name)
    for action in parser._actions:
        assert action.help or action.dest in DJANGOS, action.dest
        if action.dest not in DJANGOS and action.help is not SUPPRESS:
            words = action.help.split()
            assert len(words) > 2, f"{action.dest}: {action.help}"
            assert words[0] not in {"of", "its", "only"}, f"{action.dest} begins without a noun: {action.help}"
    assert SUPPRESS not in parser.format_help()
