"""The admin of redacted pages. Django imports this package to find it.

In reading order:

- `pages.py`: the list, and what admins do there. `forms.py`: its forms. `listing.py`: by which entry a page is listed.
- `import_export.py`: many pages at once.
- `configured.py`: the pages that the configuration file lists.
- `check_page.py`, `check_form.py`: the page "Test a redaction", which runs `redaction/check/`.
- `links.py`: where a page's links lead.
- `holds.py`: a list that is held. `matches.py`: when pages last matched.

Never imported here: `streams.http`, `eventstreams_site`, Daphne, Twisted, aiokafka.
"""

from __future__ import annotations

from redaction.admin import holds, pages

__all__ = ["holds", "pages"]
