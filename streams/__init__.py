"""Serves Kafka topics to any number of HTTP clients.

In reading order, the way of the data:

- `core`: the pure part: events, positions, ids, `since`, formats, the ring. It needs no Django, asyncio or clock.
- `engine`: reads Kafka once for all clients and gives each what comes after its position. It knows no HTTP.
- `http`: the edge: requests, the consumer that streams, limits, headers, small answers, the OpenAPI document.
- `catalogue`: where the streams come from: fetched, stored in the database, edited by admins.
- `schemas`: the JSONSchemas of the streams.
- `admin`: the pages for those who look after the streams.
- `mirror`: copies another service's events into one's own Kafka. `compare`: compares two services event by event.
- `local`: what development and tests need: a Kafka on this machine and demo events.
- `apps.py`, `models.py`, `migrations/`, `management/`, `templatetags/`, `static/`: where Django expects them.

An import goes only towards `core`; `tests/unit/test_layers.py` checks this.
"""
