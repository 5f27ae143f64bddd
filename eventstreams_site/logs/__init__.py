"""The log.

In reading order:

- `lines.py`: the format of a line, and how often clients can cause one.
- `configuration.py`: which logger writes what, and from which level.
- `json_lines.py`: the same line as a JSON object. `shortened.py`: bounds both.
- `backlog.py`: a bounded queue before stderr, so that a reader that stalls delays nothing.

Never imported here: Django, Daphne, Twisted, `streams`, `redaction`.
"""
