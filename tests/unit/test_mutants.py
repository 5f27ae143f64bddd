"""The list of planted faults keeps up with the code (see tests/mutants.py, which tries them)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant, plant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_can_be_planted_and_its_test_exists(mutant: Mutant, tmp_path: Path) -> None:
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    text = (ROOT / mutant.file).read_text()
    copy.write_text(text)
    plant(mutant, tmp_path)
    assert copy.read_text() != text
    if copy.suffix == ".py":
        ast.parse(copy.read_text())
    file, name = mutant.test.split("::")
    tree = ast.parse((ROOT / file).read_text())
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name.partition("[")[0] in tests


def test_names_of_mutants_are_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(("text", "times"), [("a\n", 0), ("b b\n", 2)])
def test_a_mutant_whose_text_is_not_there_once_is_said(tmp_path: Path, text: str, times: int) -> None:
    (tmp_path / "f.py").write_text(text)
    with pytest.raises(ValueError, match=f"lost: f.py has 'b' {times} times, not once"):
        plant(Mutant("lost", "f.py", "b", "c", ""), tmp_path)
    assert (tmp_path / "f.py").read_text() == text
