"""What is held of the list, what its pages matched; keys by the spelling of now.

Only adds: the previous version works on.
"""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from streams.core.spelling import normalise_title


def normalise_keys(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Where another row has the key already it is left: a row counts by its title as well."""
    pages = apps.get_model("redaction", "RedactedPage").objects.using(schema_editor.connection.alias)
    taken = set(pages.values_list("domain", "key"))
    for number, domain, title, key in pages.values_list("pk", "domain", "title", "key"):
        new = domain, normalise_title(title)
        if new[1] != key and new not in taken:
            taken.add(new)
            pages.filter(pk=number).update(key=new[1])


class Migration(migrations.Migration):

    dependencies = [
        ('redaction', '0003_view_raw'),
    ]

    operations = [
        migrations.CreateModel(
            name='Hold',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('why', models.TextField(help_text="A sentence, without the pages' titles.")),
                ('pages', models.TextField(default='[]', help_text='JSON: a list of domain and title.')),
            ],
            options={
                'verbose_name': 'held redaction list',
                'verbose_name_plural': 'held redaction lists',
                'ordering': ('id',),
                'permissions': (('apply_hold', 'Can apply a list of redacted pages that is held'),),
                'default_permissions': (),
            },
        ),
        migrations.AlterField(
            model_name='pagechange',
            name='what',
            field=models.CharField(choices=[('added', 'added'), ('removed', 'removed'), ('applied', 'held list applied')], max_length=10),
        ),
        migrations.CreateModel(
            name='PageMatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('domain', models.CharField(max_length=253)),
                ('key', models.CharField(max_length=1536)),
                ('last_at', models.DateTimeField()),
                ('events', models.PositiveBigIntegerField()),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('domain', 'key'), name='a_page_has_one_count')],
            },
        ),
        migrations.RunPython(normalise_keys, migrations.RunPython.noop),
    ]
