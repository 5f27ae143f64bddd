"""What admins edit, and how a server process learns that they did: it polls a version, which each change raises."""

from __future__ import annotations

from django.db import models, transaction


class Version(models.Model):
    """How often that which goes by `name` has been changed; every server process asks once a second.

    A plain number in a plain row: no broker, no notification that could be missed.
    """

    STREAMS = "streams"
    REDACTED_PAGES = "redacted pages"

    name = models.CharField(primary_key=True, max_length=50)
    number = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.number}"

    @classmethod
    def raise_for(cls, name: str) -> None:
        """To be called before the change, in the same transaction: its row lock puts writers one after the other."""
        if not transaction.get_connection().in_atomic_block:
            raise RuntimeError(f"the version of {name!r} is raised in the transaction that makes the change")
        cls.objects.get_or_create(name=name)
        cls.objects.filter(name=name).update(number=models.F("number") + 1)

    @classmethod
    def of(cls, name: str) -> int:
        """To be read before what it is the version of: what is read then is at least as new."""
        return cls.objects.filter(name=name).values_list("number", flat=True).first() or 0
