"""Each migration, and then the tables' models as they were before it: what the version before does on the new schema.

Run by test_migrations, with a new database: ``python -m tests.support.site.previous_version``.
It prints a line for each migration that was followed by such a look, and fails where the old models do.
"""

from __future__ import annotations

from typing import Any

import django

APPS = ("streams", "redaction")


def value_for(field: Any, number: int) -> Any:
    """Some value for a column, another one for each row."""
    from django.db import models
    from django.utils import timezone

    if field.is_relation:
        return None
    if field.choices:
        return field.choices[0][0]
    if isinstance(field, models.JSONField):
        return {"row": number}
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.BooleanField):
        return True
    if isinstance(field, models.IntegerField | models.FloatField):
        return number
    return f"row {number}"


def use(model: Any) -> None:
    """Write, read, change and delete a row, as a process of the version before does."""
    columns = [field for field in model._meta.concrete_fields if not field.auto_created]
    for number in (1, 2):
        model.objects.create(**{field.name: value_for(field, number) for field in columns})
    rows = list(model.objects.order_by("pk"))
    assert len(rows) >= 2, model
    rows[-1].save()
    model.objects.filter(pk=rows[-1].pk).update(**{columns[-1].name: value_for(columns[-1], 3)})
    for row in rows[-2:]:
        row.delete()


def main() -> None:
    """Apply all migrations."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    executor.recorder.ensure_schema()
    state = executor._create_project_state(with_applied_migrations=True)
    for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes()):
        before = state.clone()
        state = executor.apply_migration(state, migration)
        if migration.app_label in APPS:
            models = [each for each in before.apps.get_models() if each._meta.app_label == migration.app_label]
            for model in models:
                use(model)
            print(migration, len(models), flush=True)


if __name__ == "__main__":
    django.setup()
    main()
