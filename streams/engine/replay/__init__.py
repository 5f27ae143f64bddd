"""Older events, which are no longer in memory.

In reading order:

- `history.py`: blocks of records, read from Kafka once for all clients that ask, in a cache bounded by bytes.
- `reader_slots.py`: how many clients read history at once. `pace.py`: how fast each of them may read.
- `merge.py`: the events of a client that catches up: the oldest of all its partitions first.
- `catch_up.py`: reads from the client's position to exactly that of its feed.

Never imported here: Django, `streams.http`, `redaction`.
"""
