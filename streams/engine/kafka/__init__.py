"""Kafka as a source of records.

In reading order:

- `source.py`: fetches, offsets and metadata, without a consumer: every fetch names all that it wants.
- `brokers.py`: connections to brokers. `broker_trouble.py`: why there is none, as a sentence.
- `options.py`: librdkafka's settings, each checked and mapped to the client that we use.
- `batches.py`: the bytes of a fetch become records. `damaged.py`: batches that cannot be read.
- `patience.py`: how long a broker may wait for a second record.
- `create_topics.py`: creates topics for tests, the demo and test edits; the service never does.

Never imported here: Django, `streams.http`, `redaction`, `streams.engine.tail`, `streams.engine.replay`.
"""
