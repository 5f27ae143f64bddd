"""The JSONSchemas of the streams.

- `registry.py`: the schemas that the process has now, refreshed with the streams.
- `search.py`: where a stream's schema is looked for, and what its references name.
- `json_schema.py`: a schema with its references becomes one document of JSON Schema 2020-12.
"""
