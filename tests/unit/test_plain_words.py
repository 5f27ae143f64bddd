"""The words are plain (CONTRIBUTING.md): the most frequent riddles stay out of docs, pages, code, comments and logs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RIDDLES = {
    r"so (many|long|much|few)(?! as\b| that\b)": "what it bounds and the unit: “at most N …”, “seconds between …”",
    r"(has|have|had) (it |them |that )?not(?= (any|one|the|it|them|what)\b)": "“does not have”, “lacks”",
    r"of (its|their|our) own": "“its own …” before the thing",
    r"by (itself|themselves)": "“alone” or “automatically”",
    r"(go|goes|going|went|gone) on(?! (to|the)\b)": "“continues”, “resumes”",
    r"(is|was|be|been|are|were|being) had": "“has”, “was fetched”",
    r"(is|was|are|were|be|been|being) said": "who says it, actively: “the log says”, “the client gets …”",
    r"(is|was|are|were|be|been|being) given up": "“closed”, “cancelled”, “stopped”",
    r"(comes?|came|coming) back": "“reconnects”, “returns”, “works again”",
    r"not (\w+ )?any more": "“no longer”",
    r"tells? of": "“describes”, “reports”",
    r"for ever": "“forever”",
    r"anew": "“again”",
    r"amiss": "“wrong”, “a problem”",
    r"heed(s|ed)?": "“respects”, “reads”",
    r"whoever": "the subject by name: “a client that …”",
    r"(?<=[;:]\s)who (asks?|comes?|connects|does|has|is not|may not|reads|resumes|takes?|follows)": (
        "the subject by name: “a client that …”"
    ),
    r"passed over": "“skipped”",
    r"(is|are|was|were|be|been|being) told of": "“gets”, “learns of”, “sees”",
    r"held against": "“compared with”, “checked against”",
    r"bears? out|borne out": "“confirms”, “shows that”",
    r"lets? go": "“release”, “drop”, “no longer watch”",
    r"lively": "“active”, “busy”",
    r"(?<=,\s)say(?=,)": "“for example”",
}
"""Each with what to write instead."""

SUFFIXES = (".py", ".md", ".html", ".txt", ".js", ".css", ".svg", ".yaml", ".yml", ".toml", ".sh")
NAMES = ("Makefile", "Dockerfile", "run")
NOT_READ = ("tests/data/", "config/schemas/", "tests/unit/test_plain_words.py")
GAP = r"(?:\s|#|//|\*)+"
"""What is between two words: also the end of a line, and the sign that begins a comment."""


def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(r"(?<![\w-])(?:%s)(?!\w)" % pattern.replace(" ", GAP), re.IGNORECASE)


PATTERNS = {compiled(pattern): better for pattern, better in RIDDLES.items()}


def riddles(text: str) -> list[str]:
    """The riddles of a text, each with its line and what to write instead."""
    return [
        f"line {text.count(chr(10), 0, match.start()) + 1}: “{' '.join(match[0].split())}”: write {better}"
        for pattern, better in PATTERNS.items()
        for match in pattern.finditer(text)
    ]


def texts() -> list[str]:
    """All files that people read, by their paths."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    return [
        name
        for name in listed
        if (name.endswith(SUFFIXES) or Path(name).name in NAMES)
        and not name.startswith(NOT_READ)
        and (ROOT / name).is_file()
    ]


def test_no_text_has_a_riddle() -> None:
    found = [f"{name}, {riddle}" for name in texts() for riddle in riddles((ROOT / name).read_text())]
    assert not found, "Write plainly (CONTRIBUTING.md, Words):\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "So many times in a row",
        "a redactor that\n    # goes\n    # on",
        "a reader of Kafka of its own",
        "The browser reconnects by itself",
        "a topic that Kafka has not any",
        "the document was had",
        "it is said so",
        "is not there any more",
        "Whoever asks",
        "the first; who comes later",
        "it is passed over",
        "the gaps that it is told of",
        "figures that are held against goals",
        "because of its names, say, it fails",
    ],
)
def test_a_riddle_is_found(text: str) -> None:
    assert len(riddles(text)) == 1


@pytest.mark.parametrize(
    "text", ["as so many that", "its own reader", "has not changed", "it goes on the list", "Whosoever", "renew anew_x"]
)
def test_plain_words_are_no_riddle(text: str) -> None:
    assert riddles(text) == []
