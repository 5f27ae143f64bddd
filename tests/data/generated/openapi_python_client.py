"""A program over the client that openapi-python-client makes of the document, as a user of it would write it."""

from __future__ import annotations

import json
import sys
from typing import Any

from made import Client
from made.api.streams import stream_mediawiki_page_change_v1 as page_changes
from made.api.streams import stream_mediawiki_recentchange as recent_changes
from made.models import MediawikiPageChange120, MediawikiRecentchange101, Problem

url, since, until, title = sys.argv[1:]
with Client(base_url=url, headers={"Accept": "application/json"}) as client:
    one = recent_changes.sync(client=client, since=since, limit=1, type_=["edit"])
    assert isinstance(one, MediawikiRecentchange101)

    request = recent_changes._get_kwargs(since=since, until=until, wiki=["enwiki", "dewiki"], where=["length.new>100"])
    with client.get_httpx_client().stream(**request) as answer:
        changes = [MediawikiRecentchange101.from_dict(json.loads(line)) for line in answer.iter_lines() if line]

    logged = recent_changes.sync(client=client, since=since, limit=1, where=["log_params"])
    assert isinstance(logged, MediawikiRecentchange101)
    redacted = page_changes.sync(client=client, since="0", limit=1, title=[title])
    assert isinstance(redacted, MediawikiPageChange120)
    wrong = page_changes.sync_detailed(client=client, since="never")
    assert isinstance(wrong.parsed, Problem)


def offset(event: Any) -> int:
    found: int = event.meta.offset
    return found


print(
    json.dumps(
        {
            "one": offset(one),
            "many": [offset(change) for change in changes],
            "logged": [offset(logged), logged.to_dict()["log_params"]],
            "redacted": [offset(redacted), redacted.page.page_title, redacted.to_dict()["performer"]],
            "error": [int(wrong.status_code), wrong.parsed.type_],
        }
    )
)
