"""The command of `manage.py`: `check_redaction.py` tests whether clients can see who acted.

A command starts a process, so it may import everything; nothing may import a command.
"""
