"""Every setting that there is stands in the README's table, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eventstreams_site.conf import SETTINGS

README = Path(__file__).resolve().parents[2] / "README.md"
ROW = re.compile(r"^\| `([a-z0-9_]+)`[^|]*\| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def documented() -> dict[str, tuple[str, str]]:
    """Name → what the table has as default, and as explanation."""
    return {name: (default.strip(), text.strip()) for name, default, text in ROW.findall(README.read_text())}


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_a_setting_is_in_the_readmes_table_with_its_default_and_what_it_is(name: str) -> None:
    default, text = documented()[name]
    assert default
    assert len(text) > 10


def test_the_readmes_table_has_no_setting_that_does_not_exist() -> None:
    assert set(documented()) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("setting", [s for s in SETTINGS if type(s.default) in (int, float)], ids=lambda s: s.name)
def test_the_defaults_in_the_readme_are_those_of_the_code(setting: object) -> None:
    name, default = setting.name, setting.default  # type: ignore[attr-defined]
    assert float(documented()[name][0].strip("`")) == default
