"""Turns what people type or paste into pages: domain and title as events have them.

In reading order:

- `titles.py`: checks domains, titles and addresses of pages. `impossible.py`: titles that no page can have.
- `slips.py`: titles that were copied with something that is not a part of them.
- `typed.py`: the page of an address, of a form or of a line of a list.
- `evidence.py`: what the newest events say about a domain and its namespaces. `evidence_reader.py` reads these events.

All but `evidence_reader.py` is pure: no Django, no asyncio, no clock.

Never imported here: `redaction.admin`, `redaction.check`, `streams.http`.
"""
