"""Many pages at once.

- `lists.py`: lines, CSV or YAML become entries, each fine, doubtful or invalid.
- `yaml_lists.py`: finds the mapping of pages in a YAML document, at any depth. `yaml_text.py`: YAML without its typing.
- `csv_cells.py`: cells that no spreadsheet takes for a formula.
"""
