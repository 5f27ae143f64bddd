"""`manage.py development_admin`: a superuser to log in as, for `make run`. Only under DJANGO_DEBUG."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

NAME = "admin"


class Command(BaseCommand):
    """The command."""

    help = f"Make the superuser {NAME!r} with a random password, kept in .local, and print how to log in."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the user, unless there is one, and print the password."""
        if not settings.DEBUG:
            raise CommandError("This command is for development only (DJANGO_DEBUG). Use `manage.py createsuperuser`")
        users = get_user_model().objects
        kept = Path(settings.BASE_DIR) / ".local" / "admin-password"
        user = users.filter(username=NAME).first()
        if user is None:
            password = secrets.token_urlsafe(9)
            users.create_superuser(NAME, password=password)
            kept.parent.mkdir(exist_ok=True)
            kept.unlink(missing_ok=True)
            kept.touch(mode=0o600)
            kept.write_text(password, encoding="utf-8")
        password = kept.read_text(encoding="utf-8") if kept.exists() else "the password that it was given"
        if user is not None and not user.check_password(password):
            password = "the password that it was given"
        self.stdout.write(f"as {NAME} with {password}")
