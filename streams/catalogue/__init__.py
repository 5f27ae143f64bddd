"""Where streams are defined: fetched, stored, edited.

In reading order:

- `fetch.py`: fetches a document from a path or URL, within bounds. `inflate.py`: decompresses it.
  `hosts.py`: hosts that may be fetched from. `fetched.py`: what came of it.
- `document.py`: turns the document into settings of streams, or an error. `duplicate_keys.py`: keys given twice.
- `synchronise.py`: compares it with the database, and stores, holds or rejects the change. `judge.py`: which of these.
  `lease.py`: which of several replicas may store.
- `refresh.py`: does so every `stream_config_ttl` seconds, and when an admin asks.
- `database.py`: makes a catalogue of the stored streams, the defaults, the overrides and the admins' edits.
- `edits.py`: the only writer of what admins set. `affected.py`: which clients a change disconnects.
- `explain.py`: where each value of a stream comes from. `json_text.py`: values as text.

Never imported here: `streams.admin`, `streams.http`, `redaction`, Daphne, Twisted, aiokafka.
"""
