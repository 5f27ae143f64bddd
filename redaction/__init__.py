"""Redacted pages: for some people it is dangerous to be known as the editor of a page.

- `redactor.py`: removes who did it from the events of listed pages. Pure.
- `marking.py`: how test edits are known. Pure.
- `models.py`: the list in the database. `listed/`: the list in force, and how it changes.
- `entries/`: what people type becomes a page that can match, checked against what events say.
- `imports/`: many pages at once, in the forms in which people have them.
- `admin/`: the pages for those who keep the list.
- `check/`: the test of a redaction, which knows nothing of how redaction is done.
"""
