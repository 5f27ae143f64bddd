"""The status of the service, for the page in the admin and for scripts.

In reading order:

- `last_hour.py`: the figures of the last hour, in memory: of one process, or, in the supervisor, of all workers.
- `whole.py`: the reports of all processes become one.
- `own.py`: the status of a process that serves alone.

A process reports on itself in `streams/http/status.py`; `eventstreams_site/server/status_answers.py` collects the
reports of workers. The supervisor uses `last_hour.py`, which needs no event loop.

Never imported here: Django, `streams.admin`, `redaction`.
"""
