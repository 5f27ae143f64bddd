"""The log.

- `lines.py`: the format of a line, and how often clients can cause one.
- `backlog.py`: a bounded queue before stderr, so that a reader that stalls delays nothing.
"""
