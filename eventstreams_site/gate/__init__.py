"""Protects Django: no client can occupy its threads.

In reading order:

- `gate.py`: refuses requests that are too large or too many, and logins that are only guesses.
- `lanes.py`: bounds how many requests run, and how many wait.
- `address_throttle.py`: counts failed logins of one address. `name_lockout.py`: wrong passwords for one name.
- `errors.py`: Django's answers to unknown paths and to failures.

Never imported here: Daphne, Twisted, `streams.admin`, `redaction`, `eventstreams_site.server`.
"""
