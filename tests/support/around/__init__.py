"""What is around the service: a database, servers of configuration and schemas, networks, a browser."""
