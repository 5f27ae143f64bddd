"""The edge: requests of clients and their answers. ASGI, without a server.

In reading order:

- `requests.py`: an ASGI scope becomes a request for streams. `negotiation.py`: its format.
- `consumers.py`: answers it: headers, then events until the client disconnects. `opening.py`: what it
  reads, and from where.
- `messages.py`: the ASGI messages of one request. `stream_log.py`: the log's line about a stream that ended.
- `terms.py`: the end and the checkpoints that a client asks for.
- `client_address.py`: the address by which connections are counted.
- `limits.py`: maximum connections of one address and of the process. `stalls.py`: clients that take nothing.
- `service.py`: what the edge needs of the process.
- `public.py`: every other public route, answered from memory. `answers.py`, `made.py`: these answers, made once.
- `status.py`: what the process reports of itself.
- `views.py`, `ui.py`, `static.py`, `about.py`: small answers, the demo page, styles and scripts.
- `headers.py`, `problems.py`: headers of all answers, and errors as problem+json.
- `prefix.py`: the path that a proxy puts before all others.
- `openapi/`: the document that describes the service, and the page that shows it.

Never imported here: Daphne, Twisted, aiokafka, `redaction`, `eventstreams_site`.
"""
