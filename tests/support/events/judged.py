"""Two events of the page that tests of redaction are made with, raw and redacted to the letter."""

from __future__ import annotations

import json
from typing import Any

NAME = "HTriedman (WMF)"
TITLE = "Участник:HTriedman (WMF)/redacted page test"
DOMAIN = "ru.wikipedia.org"
PERFORMER = {
    "user_text": NAME,
    "user_id": 4217,
    "groups": ["*", "user", "autoconfirmed"],
    "is_bot": False,
    "registration_dt": "2021-04-05T06:07:08Z",
    "edit_count": 77,
}
PAGE_CHANGE: dict[str, Any] = {
    "$schema": "/mediawiki/page/change/1.2.0",
    "meta": {
        "uri": "https://ru.wikipedia.org/wiki/%D0%A3:HTriedman_(WMF)/redacted_page_test",
        "id": "0d5f7f6e-1111-4222-8333-444455556666",
        "domain": DOMAIN,
        "stream": "mediawiki.page_change.v1",
        "dt": "2026-11-23T22:18:00Z",
    },
    "page_change_kind": "edit",
    "page": {"page_id": 4217, "page_title": TITLE.replace(" ", "_"), "namespace_id": 2},
    "performer": PERFORMER,
    "comment": "a test",
    "revision": {"rev_id": 130_000_001, "comment": "a test", "editor": PERFORMER, "rev_size": 77},
    "prior_state": {"revision": {"rev_id": 130_000_000, "comment": "", "editor": {"user_text": "Somebody Else"}}},
}
RECENTCHANGE: dict[str, Any] = {
    "$schema": "/mediawiki/recentchange/1.0.1",
    "meta": {"domain": DOMAIN, "uri": "https://ru.wikipedia.org/wiki/x", "stream": "mediawiki.recentchange"},
    "type": "edit",
    "title": TITLE,
    "title_url": "https://ru.wikipedia.org/wiki/HTriedman_(WMF)/redacted_page_test",
    "comment": "",
    "user": NAME,
    "bot": False,
    "revision": {"old": 130_000_000, "new": 130_000_001},
    "parsedcomment": "",
}


def as_json(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def clean_page_change() -> dict[str, Any]:
    """The event as the contract says that it leaves."""
    event: dict[str, Any] = json.loads(json.dumps(PAGE_CHANGE))
    event["performer"] = {}
    event["comment"] = event["revision"]["comment"] = ""
    del event["revision"]["editor"], event["prior_state"]["revision"]["editor"]
    event["meta"] |= {"topic": "eqiad.mediawiki.page_change.v1", "partition": 0, "offset": 4217}
    return event


def clean_recentchange(**more: Any) -> dict[str, Any]:
    return {key: value for key, value in RECENTCHANGE.items() if key != "user"} | more
