"""The HTTP server: Daphne and Twisted, with what they lack.

- `server.py`: starts, hands requests to the application, stops cleanly. `signals.py`: what each signal does.
- `listening.py`: listens and accepts. `descriptors.py`: how many connections the process can have.
- `channel.py`: one connection: what is too large, too slow or no HTTP is answered here. `request.py`: one request.
- `flow.py`: how much a client's socket takes. `connection.py`: what of a stream is still unsent.
- `faults.py`: faults that only Twisted's log would have.
- `supervisor.py`: the process that accepts for several workers. `worker.py`: a worker as it sees it.
  `handover.py`: what the two tell each other.
"""
