"""The HTTP server: Daphne and Twisted, with what they lack.

In reading order:

- `server.py`: starts, hands requests to the application, stops cleanly. `signals.py`: what each signal does.
- `listening.py`: listens and accepts. `accepting.py`: the same in an event loop.
- `descriptors.py`: how many connections the process can have. `room.py`: makes room when they are too many.
- `channel.py`: one connection: what is too large, too slow or no HTTP is answered here. `request.py`: one request.
- `flow.py`: how much a client's socket takes. `connection.py`: what of a stream is still unsent.
- `faults.py`: faults that only Twisted's log would have.
- `options.py`: the options of `serve`.
- `supervisor.py`: the process that accepts for several workers. `fleet.py`: starts, watches and replaces them.
  `fleet_trouble.py`: what is wrong with them. `slot.py`: the place of one of them. `worker.py`: one of them, as the
  supervisor sees it. `worker_process.py`: a worker itself.
- `spawn.py`: starts the supervisor's processes. `check.py`: one of them checks the configuration. `reloading.py`: loads
  a new one.
- `handover.py`: connections to a worker, and its heartbeat; `supervisor_link.py`: its side of them. `control.py`: other
  messages between the two. `reporting.py`: what a worker reports.
- `host_limits.py`: limits of connections over all workers. `worker_limits.py`: a worker asks for them.
  `redis_counts.py`: counts over all replicas. `shared_counts.py`: asks for them from a thread. `replica_limits.py`: the
  same limits without a supervisor. `refusals.py`: why a connection is refused.
- `operations.py`: what the supervisor answers for all workers. `ops.py`: the small HTTP server for that.
  `merged_metrics.py`: the metrics of all workers as one. `status_answers.py`: asks all workers for the status page;
  `fleet_status.py`: a worker's question.

Never imported here: Django, `streams.admin`, `redaction`.
"""
