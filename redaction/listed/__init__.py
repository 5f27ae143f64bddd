"""The list of redacted pages: what is in force, and every way in which it changes.

In reading order:

- `in_force.py`: the list as one process knows it, and what of it is held.
- `recording.py`: adds a line to the history and raises the version at every change through Django.
- `changes.py`: changes by people, each with a reason.
- `holds.py`: what an admin decides about a list that is held.
- `matches.py`: when each page last matched an event, and how many events it matched.

Never imported here: `redaction.admin`, `redaction.check`, `streams.http`, `eventstreams_site`.
"""
