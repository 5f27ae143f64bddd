"""What tests share, by what it stands for.

- `engine/`: the engine on a Kafka in memory, and clients of it without HTTP
- `kafka/`: Kafka as tests have it: one source or the other, writing to it, brokers that refuse or pause
- `site/`: the service as it is deployed, its parts, its configuration
- `broken/`: the service with a planted fault, so that a test sees how the rest takes it
- `client/`: clients over HTTP: strict, cut off, fast, many, rude
- `admin/`: users of the admin, and the processes that serve them
- `around/`: what is around the service: a database, servers of configuration and schemas, networks, a browser
- `events/`: events as MediaWiki's streams carry them
"""

from __future__ import annotations

SLACK_SECONDS = 5.0
"""How much longer than a bound of the contract a busy machine may take. What goes wrong takes longer than both."""


class Clock:
    """A clock that stands still unless the test moves it (seconds)."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
