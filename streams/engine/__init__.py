"""Reads Kafka once for all clients, and gives each client what comes after its position.

In reading order:

- `source.py`: what the engine needs of a log. `kafka/` reads Kafka, `memory.py` is a log in memory.
- `tuning.py`: the bounds of the engine, in bytes and seconds: one value for all parts.
- `encoder.py`: records become events, redacted by the list in force; what is no event is counted.
- `tail/`: the newest events: the hub reads them, feeds share them among all live clients.
- `replay/`: older events: read once for all clients that ask, merged by time.
- `resume.py`: from a request's start to offsets in Kafka.
- `subscription.py`: the pull loop of one client: catch up, follow the feed, fall behind, catch up again.
- `terms/`: what some clients ask for besides events: an end, and checkpoints.
- `compress/`: what all compressed clients of a feed share, made once.
- `lookups.py`: questions to Kafka about offsets and times, each asked once for all that want the answer.
- `rates.py`: events per second of streams. `metrics.py`: the metrics for Prometheus. `counts.py`: counts
  without a lock. `loop_lag.py`: how late the event loop is. `faults.py`: faults that must not stop what runs for all.
  `turns.py`: turns of the event loop within long work. `ticks.py`: regular looks wake the process together.
  `outage.py`: logs an outage at once, every minute, and at its end.

Never imported here: Django, `streams.http`, `redaction`. The redactor is an argument.
"""
