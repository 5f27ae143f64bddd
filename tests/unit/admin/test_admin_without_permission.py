"""Staff without a permission learn nothing of what is listed, at no address of the admin, whatever they send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from redaction.entries.titles import Page
from redaction.listed import changes
from redaction.models import PageChange, RedactedPage
from streams.models import ConfiguredStream, SyncRun
from tests.support.admin import ServiceClient, staff
from tests.support.admin.streams import process, stream

TITLE = "Quxfrobnicate"
STREAM = "zyxstream"
UNSEEN = (TITLE.lower(), STREAM)

pytestmark = pytest.mark.django_db


def addresses(resolver: URLResolver, prefix: str = "/") -> Iterator[str]:
    """Every address of the resolver, with each key of a row in place of each parameter."""
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry, path)
        elif isinstance(entry, URLPattern):
            yield path


def filled(path: str) -> Iterator[str]:
    path = path.replace("^", "").replace("$", "").replace("\\Z", "")
    for key in {"1", *(str(model.objects.latest("pk").pk) for model in (RedactedPage, PageChange, ConfiguredStream))}:
        found = path
        while "<" in found:
            start, end = found.index("<"), found.index(">")
            found = found[:start] + key + found[end + 1 :]
        yield found


@pytest.fixture
def rows() -> None:
    changes.add([Page("en.wikipedia.org", TITLE)], "T1", staff("root"))
    stream(STREAM)
    SyncRun.objects.create(at=timezone.now(), outcome=SyncRun.Outcome.UNCHANGED, source="/streams.yaml", seconds=0.1)


def test_no_address_of_the_admin_tells_them_a_title_or_a_stream(rows: None) -> None:
    parts = vars(process())
    client = ServiceClient(staff("ada"), {"en.wikipedia.org": [TITLE]}, **parts)
    paths = {
        path
        for pattern in addresses(get_resolver())
        if pattern.startswith("/admin") and "(?P" not in pattern
        for path in filled(pattern)
    }
    assert len(paths) > 30
    for path in sorted(paths - {"/admin/logout/", "/admin/password_change/", "/admin/password_change/done/"}):
        for answer in (
            client.get(path),
            client.get(
                path, {"q": TITLE[:4], "term": TITLE[:4], "app_label": "redaction", "model_name": "redactedpage"}
            ),
            client.post(path, {"action": "delete_selected", "_selected_action": "1", "pages": "1", "post": "yes"}),
        ):
            said = seen(answer)
            assert not [text for text in UNSEEN if text in said], (path, answer.status_code)
    said = seen(client.get("/admin/"))
    assert not [text for text in UNSEEN if text in said], "a message that another address left for this page"
    assert RedactedPage.objects.count() == PageChange.objects.count() == 1
    assert ConfiguredStream.objects.filter(name=STREAM).exists()


def test_the_addresses_that_are_tried_are_those_that_tell_it_to_who_may_see_it(rows: None) -> None:
    """Or nothing would have been shown by the test above."""
    user = staff("grace", "redaction admins", "stream admins")
    client = ServiceClient(user, {}, **vars(process()))
    page, row = RedactedPage.objects.get(), ConfiguredStream.objects.get(name=STREAM)
    for path, text in (
        (f"/admin/redaction/redactedpage/{page.pk}/history/", TITLE.lower()),
        (f"/admin/streams/configuredstream/{row.pk}/history/", STREAM),
        ("/admin/redaction/redactedpage/", TITLE.lower()),
        ("/admin/redaction/pagechange/", TITLE.lower()),
    ):
        assert text in seen(client.get(path)), path


def seen(answer: Any) -> str:
    """All that reaches the browser: headers, cookies and the body, in lower case."""
    head = " ".join(f"{name}: {value}" for name, value in answer.items()) + str(answer.cookies)
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return (head + body.decode(errors="replace")).lower()
