"""Reads many pages at once.

In reading order:

- `lists.py`: lines, CSV or YAML become entries: new, listed already, doubtful or invalid.
- `yaml_lists.py`: finds the mapping of pages in a YAML document, at any depth. `yaml_text.py`: YAML without its typing.
- `csv_cells.py`: writes cells that no spreadsheet takes for a formula.

Pure. Never imported here: Django, asyncio, time, `redaction.admin`, `redaction.check`, `streams`.
"""
