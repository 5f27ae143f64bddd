"""The command of `manage.py`, where Django looks for it: in `commands/`. Nothing may import it."""
