"""`make test-containers`: the service on Kafka, PostgreSQL and Redis as containers."""
