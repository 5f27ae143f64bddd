"""What admins edit, and how a server process learns that they did: it polls a version, which each change raises."""

from __future__ import annotations

from django.db import connection, models, transaction

from streams.core.catalogue import Edit


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
    def lock(cls, name: str) -> None:
        """Waits for other writers, and keeps them off until the transaction ends; changes nothing."""
        cls.objects.select_for_update().get_or_create(name=name)

    @classmethod
    def of(cls, name: str) -> int:
        """To be read before what it is the version of: what is read then is at least as new."""
        # Every process asks this twice a second: Django's queries would cost several times as much.
        with connection.cursor() as cursor:
            cursor.execute("SELECT number FROM streams_version WHERE name = %s", [name])
            row = cursor.fetchone()
        return row[0] if row else 0


class ConfiguredStream(models.Model):
    """A stream that something describes: the source, the configuration file's overrides, or an admin.

    The order of the keys is the order of the catalogue: of two streams with one alias, the one known longer keeps it.
    """

    class Allowed(models.TextChoices):
        AS_CONFIGURED = "as configured", "as configured"
        YES = "yes", "yes"
        NO = "no", "no"

    name = models.CharField(max_length=255, unique=True)
    fetched = models.JSONField(
        null=True,
        editable=False,
        help_text="Its settings as they were fetched, before defaults and overrides; none: the source has it not.",
    )
    fetched_from = models.TextField(blank=True, editable=False)
    fetched_at = models.DateTimeField(null=True, editable=False, help_text="When the fetched settings last changed.")
    override = models.JSONField(
        default=dict, blank=True, help_text="Settings that win, deeply, over the fetched ones and over the file's."
    )
    allowed = models.CharField(
        max_length=20,
        choices=Allowed.choices,
        default=Allowed.AS_CONFIGURED,
        help_text="Whether clients can read it; as configured: allowed_streams says so.",
    )
    edited_by = models.CharField(max_length=150, blank=True, editable=False)
    edited_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("name",)
        verbose_name = "stream"

    def __str__(self) -> str:
        return self.name

    @property
    def edit(self) -> Edit | None:
        """What the admin adds, if anything."""
        if not self.override and self.allowed == self.Allowed.AS_CONFIGURED:
            return None
        return Edit(self.override, {self.Allowed.YES: True, self.Allowed.NO: False}.get(self.Allowed(self.allowed)))


class SyncRun(models.Model):
    """A synchronisation with the source that changed something, or that ended otherwise than the one before."""

    class Outcome(models.TextChoices):
        CHANGED = "changed", "changed"
        UNCHANGED = "unchanged", "unchanged"
        HELD = "held", "held: waits for being applied"
        APPLIED = "applied", "applied"
        FAILED = "failed", "failed"

    at = models.DateTimeField(db_index=True, help_text="When it began.")
    seconds = models.FloatField()
    source = models.TextField()
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    added = models.JSONField(default=list)
    removed = models.JSONField(default=list)
    changed = models.JSONField(default=list)
    left_out = models.JSONField(
        default=list, help_text="Streams of the source that cannot be kept, each a list of its name and the reason."
    )
    error = models.TextField(blank=True, help_text="Why it failed, or was held.")
    pending = models.JSONField(
        null=True, help_text="What was fetched, of the run that is held; at most one run has it. None: nothing waits."
    )
    by = models.CharField(max_length=150, blank=True, help_text="The user's name at the time; empty: by itself.")

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = (("sync", "Can synchronise streams with their source, and apply what is held"),)
        verbose_name = "synchronisation"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.outcome}"
