"""`manage.py X --help` says what each command and each option does."""

from __future__ import annotations

import os
import subprocess
import sys
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


def test_a_command_that_needs_nothing_of_the_site_starts_without_its_key(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "DATABASE_"))}
    command = [sys.executable, str(ROOT / "manage.py"), "mirror", "http://127.0.0.1:1", "--stream", "a"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert "--contact is missing" in done.stderr
