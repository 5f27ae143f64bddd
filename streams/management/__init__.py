"""Commands of `manage.py`, where Django looks for them: in `commands/`. Nothing may import them."""
