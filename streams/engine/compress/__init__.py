"""Compression that all clients of a feed share: what many are sent is compressed once.

In reading order:

- `codings.py`: zstd and gzip as pieces: pieces that stand alone, and pieces of a window that continue each other.
- `chain.py`: the pieces of one feed, in one format and coding.
- `compression.py`: which chains there are, and how many of them may have a window at once.
- `body.py`: the body of one client, in front of its socket: which pieces it gets, and how it begins and ends.

Never imported here: Django, `streams.http`, `redaction`.
"""
