"""The newest events: read once, shared by all live clients.

In reading order:

- `hub.py`: the process's one reader of the tail; it fills rings and feeds.
- `partition.py`: what the hub knows of one partition. `topics.py`: which topics there are, and which are new.
- `placing.py`: where each partition is read from. `health.py`: whether partitions are being read.
  `partition_metrics.py`: the metrics of each partition.
- `track.py`: the order of events and the ids of some partitions, which all feeds of these share.
- `feeds.py`: which feeds there are. `feed.py`: one subscription as all its live clients share it: blocks of framed
  events.
- `chunk.py`: what a client is sent next. `cohort.py`: live clients, and those of them that get the same bytes.
- `fanout.py`: writes a feed's new events to all its followers.

Never imported here: Django, `streams.http`, `redaction`.
"""
