"""The admin of streams. Django imports this package to find it.

In reading order:

- `streams.py`: the list of streams, and what admins do there. `stream_list.py`: its order.
- `stream_page.py`: the page of one stream. `forms.py`, `filters.py`: its parts. `history.py`: the history of all.
- `texts.py`, `fields.py`: texts and fields that the admin of the redaction list uses too.
- `sync_runs.py`: synchronisations, and applying one that is held.
- `overview.py`: the front page. `accounts.py`: accounts and groups.
- `process.py`: the process that serves the page: its clients, its streams, its connection to Kafka.
- `topic_facts.py`: what Kafka has of a stream's topics. `missing_topics.py`: topics that Kafka does not have.
- `status.py`: the status page.

The pages only read and show; `streams.catalogue.edits` writes.

Never imported here: `streams.http`, `redaction`, `eventstreams_site`, Daphne, Twisted, aiokafka.
"""

from __future__ import annotations

from streams.admin import accounts, streams

__all__ = ["accounts", "streams"]
