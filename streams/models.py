"""The tables of the streams, and the versions by which each server process notices a change: it polls them."""

from __future__ import annotations

from django.db import connection, models, transaction

from streams.core.catalogue import Edit


class Version(models.Model):
    """How many times something, `name`, has changed; every server process reads it once a second.

    A number in a row: no broker is needed, and no notification can be missed.
    """

    STREAMS = "streams"
    REDACTED_PAGES = "redacted pages"

    name = models.CharField(primary_key=True, max_length=50)
    number = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        """Return the name and the number."""
        return f"{self.name}: {self.number}"

    @classmethod
    def raise_for(cls, name: str) -> None:
        """Raise the version; its row lock makes other writers wait until the transaction ends.

        Call it before the change, in the same transaction.

        Raises:
            RuntimeError: There is no transaction.
        """
        if not transaction.get_connection().in_atomic_block:
            raise RuntimeError(f"raise the version of {name!r} in the transaction that makes the change")
        cls.objects.get_or_create(name=name)
        cls.objects.filter(name=name).update(number=models.F("number") + 1)

    @classmethod
    def lock(cls, name: str) -> None:
        """Wait for other writers, and make them wait until the transaction ends; change nothing."""
        cls.objects.select_for_update().get_or_create(name=name)

    @classmethod
    def of(cls, name: str) -> int:
        """Return the version. Read it before what it is the version of, which is then at least as new."""
        # Every process runs this twice a second: Django's ORM would cost several times as much.
        with connection.cursor() as cursor:
            cursor.execute("SELECT number FROM streams_version WHERE name = %s", [name])
            row = cursor.fetchone()
        return row[0] if row else 0


class ConfiguredStream(models.Model):
    """A stream that is defined somewhere: by the source, the configuration file's overrides, or an admin.

    The order of the keys is the order of the catalogue: of two streams with one alias, the older one keeps it.
    """

    class Allowed(models.TextChoices):
        """What admins decide: whether clients can read the stream, whatever allowed_streams says."""

        AS_CONFIGURED = "as configured", "as configured"
        YES = "yes", "yes"
        NO = "no", "no"

    name = models.CharField(max_length=255, unique=True)
    fetched = models.JSONField(
        null=True,
        editable=False,
        help_text="Settings as fetched, before defaults and overrides; empty if the source does not define it.",
    )
    fetched_from = models.TextField(blank=True, editable=False)
    fetched_at = models.DateTimeField(null=True, editable=False, help_text="When the fetched settings last changed.")
    override = models.JSONField(
        default=dict, blank=True, help_text="Settings that are merged over the fetched ones and the file's."
    )
    allowed = models.CharField(
        max_length=20,
        choices=Allowed.choices,
        default=Allowed.AS_CONFIGURED,
        help_text="Whether clients can read it; as configured: allowed_streams decides.",
    )
    edited_by = models.CharField(max_length=150, blank=True, editable=False)
    edited_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        """Options of the table."""

        ordering = ("name",)
        verbose_name = "stream"

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def edit(self) -> Edit | None:
        """What admins have set, if anything."""
        if not self.override and self.allowed == self.Allowed.AS_CONFIGURED:
            return None
        return Edit(self.override, {self.Allowed.YES: True, self.Allowed.NO: False}.get(self.Allowed(self.allowed)))


class SyncRun(models.Model):
    """A synchronisation with the source that changed something, or whose outcome differs from that of the last one."""

    class Outcome(models.TextChoices):
        """How it ended."""

        CHANGED = "changed", "changed"
        UNCHANGED = "unchanged", "unchanged"
        HELD = "held", "held: awaiting approval"
        APPLIED = "applied", "applied"
        FAILED = "failed", "failed"
        DIFFERS = "differs", "differs from the stored one"  # never in the table: another replica's is in force

    at = models.DateTimeField(db_index=True, help_text="When it began.")
    seconds = models.FloatField()
    source = models.TextField()
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    added = models.JSONField(default=list)
    removed = models.JSONField(default=list)
    changed = models.JSONField(default=list)
    left_out = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        help_text="Streams of the source that were skipped, each a list of its name and the reason.",
    )
    error = models.TextField(blank=True, help_text="Why it failed, or was held.")
    pending = models.JSONField(
        null=True, help_text="The fetched streams of a held run; at most one run has them. Empty: not held."
    )
    by = models.CharField(max_length=150, blank=True, help_text="The user's name at the time; empty: the service.")

    class Meta:
        """Options of the table."""

        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = (("sync", "Can synchronise streams with their source, and apply a held synchronisation"),)
        verbose_name = "synchronisation"

    def __str__(self) -> str:
        """Return when it began, and its outcome."""
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.outcome}"


class SourceLease(models.Model):
    """Which replica keeps the stored stream configuration; it alone writes what its source says.

    A lease without a holder was released: a replica with the same document takes it, or a newer one.
    """

    STREAMS = "streams"

    name = models.CharField(primary_key=True, max_length=50)
    holder = models.CharField(max_length=64, blank=True, help_text="The process that holds it; empty: released.")
    wanted_since = models.DateTimeField(help_text="The start of the newest process that had this document.")
    until = models.DateTimeField(help_text="When it ends unless its holder renews it.")
    source = models.TextField(blank=True)

    class Meta:
        """Options of the table."""

        default_permissions = ()

    def __str__(self) -> str:
        """Return what it is for, and who holds it."""
        return f"{self.name}: {self.holder or 'released'}"
