"""The mirror: follows a public EventStreams service and writes its events into one's own Kafka, each exactly once.

Reading order: `event.py` (an event as it was produced: what
the service has added is taken out again), `positions.py` (what has been written, what comes twice, where to resume),
`upstream.py` (the other service, of which this is a polite guest), `own_kafka.py` (what is written, and found again at
the start), `mirror.py` (the loop).

Only `manage.py mirror` and `make run` use it: nothing that serves streams imports it.
"""
