"""What the service reports about itself: off unless configured, and never with a part of an event or of a query.

In reading order:

- `reporting.py`: which of the two is configured.
- `sentry.py`: faults, to a Sentry (`sentry_dsn`).
- `tracing.py`: spans of requests and refreshes, to an OpenTelemetry collector (`otlp_endpoint`). `spans.py`: how they
  get there.

The libraries are imported only where one is configured.
"""
