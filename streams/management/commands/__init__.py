"""Commands of `manage.py`: the server, synchronising, other services, and what development needs.

In reading order:

- `serve.py`: starts the server. `reload.py`: has a running one load its configuration again.
- `sync_streams.py`: fetches the stream configuration.
- `mirror.py`, `compare_services.py`: read other services.
- `local_kafka.py`, `demo_events.py`, `development_admin.py`: the parts of `make run`.

A command starts a process, so it may import everything; nothing may import a command.
"""
