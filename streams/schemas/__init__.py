"""The JSONSchemas of the streams.

In reading order:

- `registry.py`: the current schemas of the process, refreshed with the streams.
- `search.py`: finds a stream's schema and what it refers to.
- `json_schema.py`: makes one document of JSON Schema 2020-12 of a schema and what it refers to.

Never imported here: `streams.admin`, `streams.http`, `redaction`, Daphne, Twisted, aiokafka.
"""
