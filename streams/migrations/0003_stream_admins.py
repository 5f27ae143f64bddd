"""The group of the admins of streams."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

GROUP = "stream admins"
PERMISSIONS = (
    "add_configuredstream",
    "change_configuredstream",
    "delete_configuredstream",
    "view_configuredstream",
    "view_syncrun",
    "sync",
)


def make_group(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    database = schema_editor.connection.alias
    # Django makes permissions after the last migration only; what is there already is left as it is.
    app = apps.get_app_config("streams")
    app.models_module = True
    create_permissions(app, verbosity=0, using=database, apps=apps)
    app.models_module = None
    group, _ = apps.get_model("auth", "Group").objects.using(database).get_or_create(name=GROUP)
    permissions = apps.get_model("auth", "Permission").objects.using(database)
    group.permissions.add(*permissions.filter(content_type__app_label="streams", codename__in=PERMISSIONS))


class Migration(migrations.Migration):
    dependencies = [
        ("streams", "0002_configured_streams_and_sync_runs"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        # Backwards the group stays: it may have members.
        migrations.RunPython(make_group, migrations.RunPython.noop),
    ]
