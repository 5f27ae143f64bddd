"""The mirror: follows a public EventStreams service and writes its events into one's own Kafka, each exactly once.

Reading order: `event.py` (an event as it was produced, without what the service has added), `positions.py`
(what is written, what came before, where to resume), `upstream.py` (reads the other service, and spares it),
`own_kafka.py` (writes, and at the start finds what is written), `progress.py` (what the mirror has done, in
words), `mirror.py` (the loop).

Only `manage.py mirror` and `make run` use it: nothing that serves streams imports it.

Never imported here: Django, Daphne, Twisted, `redaction`.
"""
