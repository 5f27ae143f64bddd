"""The status of the service, for the page in the admin and for scripts.

- `last_hour.py`: the figures of the last hour, in memory: of one process, or, in the supervisor, of all workers.
- `whole.py`: the reports of all processes become one.
- `own.py`: the status of a process that serves alone.

A process reports on itself in `streams/http/status.py`; `server/status_answers.py` collects the reports of workers.
`last_hour.py` is used by the supervisor: it needs neither Django nor an event loop.
"""
