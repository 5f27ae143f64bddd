"""Commands of `manage.py`: the server, synchronising, and what development needs."""
