"""The history is searched by title in any spelling; and the group of those who edit the list."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

GROUP = "redaction admins"
PERMISSIONS = ("add_redactedpage", "delete_redactedpage", "view_redactedpage", "view_pagechange")


def make_group(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    database = schema_editor.connection.alias
    # Django makes permissions after the last migration only; what is there already is left as it is.
    app = apps.get_app_config("redaction")
    app.models_module = True
    create_permissions(app, verbosity=0, using=database, apps=apps)
    app.models_module = None
    group, _ = apps.get_model("auth", "Group").objects.using(database).get_or_create(name=GROUP)
    permissions = apps.get_model("auth", "Permission").objects.using(database)
    group.permissions.add(*permissions.filter(content_type__app_label="redaction", codename__in=PERMISSIONS))


class Migration(migrations.Migration):
    dependencies = [
        ("redaction", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AddField(
            "pagechange",
            "key",
            models.CharField(
                default="", db_default="", editable=False, help_text="As the page's, to be searched for.", max_length=1536
            ),
        ),
        # Backwards the group stays: it may have members.
        migrations.RunPython(make_group, migrations.RunPython.noop),
    ]
