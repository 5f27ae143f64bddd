"""Kafka as a source of records.

- `source.py`: fetches, offsets and metadata, without a consumer: every fetch says all that it wants.
- `brokers.py`: connections to brokers. `broker_trouble.py`: why there is none, as a sentence.
- `options.py`: librdkafka's settings, each checked and mapped to the client that we use.
- `batches.py`: the bytes of a fetch become records. `damaged.py`: batches that cannot be read.
"""
