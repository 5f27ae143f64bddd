"""What development and tests need on one machine. Production never imports it.

In reading order:

- `kafka.py`: runs Kafka as a child process; `kafka_jars.py` fetches it through Maven.
- `processes.py`: child processes that end with their parent, and free ports.
- `demo/`: invented edits, and their events in the shape of Wikimedia's streams.

Never imported here: Django, Daphne, Twisted, `redaction`.
"""
