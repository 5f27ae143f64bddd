"""Where links of a redacted page lead: its wiki, its test, its events on the demo page, its history."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from django.http import HttpRequest
from django.urls import get_script_prefix, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from streams.admin.process import running
from streams.admin.stream_page import DEMO_PAGE

USUAL_STREAM = "recentchange"
"""The stream, or its alias, that has events of all pages."""


def wiki_link(domain: str, title: str) -> SafeString:
    """Return a link to the page in its wiki."""
    address = f"https://{domain}/wiki/{quote(title.replace(' ', '_'), safe='/:')}"
    return format_html('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>', address, title)


def redaction_test_address(domain: str, title: str) -> str:
    """Return the address of the page "Test a redaction", filled in."""
    return f"{reverse('admin:redaction_test')}?{urlencode({'domain': domain, 'title': title})}"


def history_address(domain: str, title: str) -> str:
    """Return the address of the page's lines in the history."""
    return f"{reverse('admin:redaction_pagechange_changelist')}?{urlencode({'domain': domain, 'q': title})}"


def demo_stream(request: HttpRequest) -> str:
    """Return the stream on which the demo page shows events of pages; "" if there is none, or the page is disabled."""
    process = running(request)
    if process is None or not process.settings.ui_enabled or process.catalogue is None:
        return ""
    streams = process.catalogue.streams
    usual = process.catalogue.aliases.get(USUAL_STREAM, USUAL_STREAM)
    return usual if usual in streams else next(iter(streams), "")


def events_address(stream: str, domain: str, title: str) -> str:
    """Return where the demo page shows the events of the page at once, from an hour ago."""
    query = {"streams": stream, "since": "hour", "domain": domain, **_filter_by(title), "run": "1"}
    return f"{get_script_prefix()}{DEMO_PAGE}#/?{urlencode(query)}"


def _filter_by(title: str) -> dict[str, str]:
    """Return the filter for one title, also where the service would understand its first or last characters."""
    if title.endswith("/*"):
        return {"where": f'title="{title}"'}
    return {"title": f"={title}" if title.startswith(("!", "=")) else title}


def links_of(domain: str, title: str, stream: str, *, has_history: bool = True) -> SafeString:
    """Return links to the page's test, its events on the demo page (unless `stream` is empty), and its history."""
    links = [("Test", "Test {}", redaction_test_address(domain, title))]
    if stream:
        links.append(("Events", "Events of {}", events_address(stream, domain, title)))
    if has_history:
        links.append(("History", "Change history of {}", history_address(domain, title)))
    return format_html_join(
        " ", '<a href="{}" aria-label="{}">{}</a>', ((to, name.format(title), text) for text, name, to in links)
    )
