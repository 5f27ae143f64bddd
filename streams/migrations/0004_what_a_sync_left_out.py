from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streams", "0003_stream_admins")]

    operations = [
        migrations.AddField(
            model_name="syncrun",
            name="left_out",
            field=models.JSONField(
                default=list,
                db_default=models.Value([], models.JSONField()),
                help_text="Streams of the source that were skipped, each a list of its name and the reason.",
            ),
        ),
    ]
