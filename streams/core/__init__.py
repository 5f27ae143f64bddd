"""The pure part: what a record, an event, a position and a stream are. Same input, same output.

In reading order:

- `catalogue.py`: stream configuration becomes the streams that clients can read.
- `events.py`: a Kafka record becomes an event: decode, redact, encode.
- `ring.py`: the newest events of one partition, bounded by bytes.
- `positions.py`: how far a client has read; ids are written and read here.
- `since.py`: the times that the parameter `since` accepts.
- `plan.py`: from streams, id and `since` to where each partition is to be read from.
- `formats.py`: the bytes around events in SSE and NDJSON. `sse_parser.py`: what a client makes of them.
- `spelling.py`: the one spelling of a title and of a domain. `settings.py`: settings of streams that look mistyped.
- `filters/`: which events a client wants.
- `durations.py`: durations as people write them. `quoted.py`: values and topics in messages.
- `errors.py`: what can go wrong for a client, as values.

Never imported here: Django, asyncio, time, socket, `streams.engine`, `redaction`, or anything else of
ours outside `streams.core`.
"""
