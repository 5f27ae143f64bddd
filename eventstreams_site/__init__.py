"""One server process: everything is wired up here, and nowhere else.

In reading order:

- `config/`: the configuration file and variables become a `Config`.
- `process.py`: a Config becomes the running parts of one process.
- `watch.py`: follows what admins change in the database. `database_threads.py`: asks it without waiting for it.
- `migrations_applied.py`: a server refuses a database that lacks some.
- `server/`: Daphne with backpressure, bounds and a clean stop; several workers on one port.
- `gate/`: what stands before Django: bounds for the admin, and logins that are only guesses.
- `status/`: what the page in the admin shows of all processes.
- `telemetry/`: faults to a Sentry, spans to an OpenTelemetry collector.
- `logs/`: the log, which never waits for its reader. `core_dumps.py`: there are none.
- `settings.py`, `urls.py`, `routing.py`, `asgi.py`, `middleware.py`, `below_prefix.py`: Django and
  Channels.
- `devserver.py`: `make run`.

It may import everything. Only the commands of `manage.py` import this package.
"""
