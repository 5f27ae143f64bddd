"""What development and tests need on one machine. Nothing in production imports it.

- `kafka.py`: a Kafka as a process of this machine; `kafka_jars.py` fetches it through Maven.
- `processes.py`: processes that end with their parent, and free ports.
- `demo/`: invented edits, and the events that Wikimedia's streams would have of them.
"""
