"""The OpenAPI document of the streams and their schemas.

- `api.py`: the routes, described for drf-spectacular.
- `document.py`: the document of one catalogue. `components.py`: schemas in a form that generators of clients can read.
- `documents.py`: its bytes, made once for each catalogue.
- `documentation.py`: the routes that serve it, and the Swagger UI page.
"""
