"""The log.

- `lines.py`: what its lines look like, and how often strangers can cause one.
- `backlog.py`: a bounded queue before stderr: no line waits for whoever reads it.
"""
