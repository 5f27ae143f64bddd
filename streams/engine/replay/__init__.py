"""Older events, below what is in memory.

- `history.py`: blocks of records, read from Kafka once for all who ask, in a cache bounded by bytes.
- `reader_slots.py`: how many clients read history at once.
- `merge.py`: what a client that catches up is sent: the oldest event of all its partitions first.
- `catch_up.py`: its way from its position to exactly where its feed stands.
"""
