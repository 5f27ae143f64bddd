"""Where streams come from.

- `fetch.py`: fetches a document from a path or URL, within bounds. `inflate.py`: decompresses it.
  `hosts.py`: hosts that may be asked.
- `document.py`: the document becomes a description of streams, or an error. `duplicate_keys.py`: keys given twice.
- `synchronise.py`: compares it with the database, and stores, holds or refuses the change. `judge.py`: which of these.
- `refresh.py`: does so every `stream_config_ttl` seconds, and when an admin asks.
- `database.py`: the stored streams, with defaults, overrides and the admins' part, become a catalogue.
- `edits.py`: what admins change: the only writer of their part. `affected.py`: which clients a change disconnects.
- `explain.py`: where each value of a stream comes from.
"""
