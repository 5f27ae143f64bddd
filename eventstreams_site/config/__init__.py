"""The service's configuration.

In reading order:

- `settings.py`: `Config`, in which each setting is written once. `config.py`: a file and variables become a `Config`.
- `values.py`: the kinds of values, each with what it expects and an error that says so.
- `yaml_file.py`: the YAML of the file: no key twice, no secret in a message.

Never imported here: Django, Daphne, Twisted, `streams.http`, `eventstreams_site.process`.
"""
