"""Cells of a CSV file that a spreadsheet would run as a formula. Pure: no Django.

Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def escaped(cell: str) -> str:
    """Return the cell with an apostrophe before what a spreadsheet would run, and no line breaks."""
    cell = " ".join(cell.splitlines())
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescaped(cell: str) -> str:
    """Return the cell as it was before `escaped`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
