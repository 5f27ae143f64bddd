from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [
        ('streams', '0004_what_a_sync_left_out'),
    ]

    operations = [
        migrations.CreateModel(
            name='SourceLease',
            fields=[
                ('name', models.CharField(max_length=50, primary_key=True, serialize=False)),
                ('holder', models.CharField(blank=True, help_text='The process that holds it; empty: released.', max_length=64)),
                ('wanted_since', models.DateTimeField(help_text='The start of the newest process that had this document.')),
                ('until', models.DateTimeField(help_text='When it ends unless its holder renews it.')),
                ('source', models.TextField(blank=True)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AlterField(
            model_name='syncrun',
            name='outcome',
            field=models.CharField(choices=[('changed', 'changed'), ('unchanged', 'unchanged'), ('held', 'held: awaiting approval'), ('applied', 'applied'), ('failed', 'failed'), ('differs', 'differs from the stored one')], max_length=20),
        ),
    ]
