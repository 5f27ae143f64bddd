"""The OpenAPI document of the streams and their schemas.

In reading order:

- `api.py`: the routes, described for drf-spectacular. `parameters.py`: the parameters that choose events.
- `document.py`: the document of one catalogue. `components.py`: schemas in a form that generators of clients can read.
- `sequences.py`: the same in OpenAPI 3.2, where a body can be a sequence of events.
- `documents.py`: its bytes, made once for each catalogue.
- `documentation.py`: the routes that serve it, and the Swagger UI page.

Never imported here: Daphne, Twisted, aiokafka, `redaction`.
"""
