"""What people type or paste becomes a page: domain and title as events have them.

- `typed.py`: an address, or a domain and a title, becomes a page.
- `titles.py`: domains, titles and addresses of pages, checked.
- `impossible.py`: titles that no page can have. `slips.py`: titles copied with something that is not a part of them.
- `evidence.py`: what the newest events say of a domain and its namespaces. `evidence_reader.py`: reads these events.
"""
