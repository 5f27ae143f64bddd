"""The test of a redaction: reads the service as a client does, and says clean, leak or not found.

In reading order:

- `check.py`: compares what clients get with what Kafka has.
- `api_client.py`: reads streams over HTTP. `served_events.py`: which events are still awaited.
- `raw_records.py`: reads the same time window from Kafka.
- `page_filter.py`: finds the events of the page. `json_members.py`: JSON as it was written.
- `verdict.py`: finds what in an event names somebody. These three share no code with `redaction.redactor`.
- `proof.py`, `findings.py`: what the result proves, as sentences. `produced_edit.py`: makes an edit for the test.

The page and its form are in `redaction/admin/`.
Never imported here: `redaction.admin`, `redaction.redactor`, `streams.http`, Daphne, Twisted.
"""
