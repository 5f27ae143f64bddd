"""Tags of the admin's front page, where Django looks for them.

In reading order: `redaction_held.py` (a list that is held), `redaction_matched.py` (pages that never matched an event).

Never imported here: `streams.http`, `eventstreams_site`.
"""
