"""Kafka as tests have it: a source that is real or in memory, writing to it, brokers that refuse or pause."""
