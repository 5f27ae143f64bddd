"""Pages of errors: they say what is wrong, look like the site, and lead back."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string

STYLE = '<link rel="stylesheet" href="/static/eventstreams/error.css">'
ADMIN = '<a href="/admin/">Back to the admin</a>'
START = '<a href="/">Back to the start page</a>'


@pytest.mark.parametrize(
    ("name", "context", "heading", "back"),
    [
        ("400.html", {}, "Bad request", ADMIN),
        ("403.html", {}, "Access denied", ADMIN),
        ("403_csrf.html", {}, "The form was rejected", ADMIN),
        ("404.html", {"path": "/v2/nothing"}, "Not found", START),
        ("404.html", {"path": "/admin/nothing/", "in_admin": True}, "Not found", ADMIN),
        ("413.html", {}, "The upload is too large", ADMIN),
        ("refused.html", {"title": "Overloaded", "detail": "Try later"}, "Overloaded", ADMIN),
    ],
)
def test_an_error_page_looks_like_the_site_and_leads_back(
    name: str, context: dict[str, str], heading: str, back: str
) -> None:
    page = render_to_string(name, context)
    assert STYLE in page
    assert f"<h1>{heading}</h1>" in page
    assert f"{heading} | EventStreams</title>" in page or name in {"403_csrf.html", "413.html"}
    assert page.count("Back to the") == 1
    assert back in page
