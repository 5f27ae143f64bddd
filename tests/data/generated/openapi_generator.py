"""A program over the client that openapi-generator makes of the document, as a user of it would write it."""

from __future__ import annotations

import json
import sys

from openapi_client import ApiClient, ApiException, Configuration, MediawikiRecentchange101, StreamsApi

url, since, until, title = sys.argv[1:]
with ApiClient(Configuration(host=url)) as client:
    api = StreamsApi(client)
    one = api.stream_mediawiki_recentchange(since=since, limit=1, type=["edit"])
    answer = api.stream_mediawiki_recentchange_without_preload_content(
        since=since, until=until, wiki=["enwiki", "dewiki"], where=["length.new>100"]
    )
    changes = [MediawikiRecentchange101.from_json(line) for line in answer if line.strip()]
    logged = api.stream_mediawiki_recentchange(since=since, limit=1, where=["log_params"])
    redacted = api.stream_mediawiki_page_change_v1(since="0", limit=1, title=[title])
    try:
        api.streams(["recentchange"], since="never")
    except ApiException as error:
        wrong = [error.status, json.loads(error.body)["type"]]

print(
    json.dumps(
        {
            "one": one.meta.offset,
            "many": [change.meta.offset for change in changes],
            "logged": [logged.meta.offset, logged.to_dict()["log_params"]],
            "redacted": [redacted.meta.offset, redacted.page.page_title, redacted.to_dict()["performer"]],
            "error": wrong,
        }
    )
)
