"""Redacted pages: for some people it is dangerous to be known as the editor of a page.

In reading order:

- `redactor.py`: removes from the events of listed pages who acted. Pure.
- `apps.py`, `models.py`: the list in the database. `listed/`: the list in force, and how it changes.
- `entries/`: turns what people type into pages that can match, and compares them with what events say.
- `imports/`: reads many pages at once, in the formats that people have.
- `check/`: the test of a redaction, which knows nothing of how redaction is done. `marking.py`: the mark of test edits.
- `admin/`: the pages for those who keep the list.
- `migrations/`, `management/`, `templatetags/`: where Django expects them.

Nothing here may import `streams.http` or `eventstreams_site`; of the streams, only the admin and the commands use more
than the models, the engine and the core.
"""
