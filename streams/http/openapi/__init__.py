"""The OpenAPI document, made of the streams and their schemas.

- `api.py`: the routes as drf-spectacular sees them.
- `document.py`: the document of one catalogue. `components.py`: schemas as generators of clients can read them.
- `documents.py`: its bytes, made once for each catalogue and kept.
- `documentation.py`: the routes that serve it, and the page of Swagger UI.
"""
