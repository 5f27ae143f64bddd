"""The history of all streams: who changed what, and when, also of streams that were removed."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.paginator import Paginator
from django.db.models import Q

from streams.admin.texts import moment
from streams.models import ConfiguredStream

HISTORY_PAGE = 100
"""Maximum changes on one page of the history."""


def history_of(query: str, page_number: str | None) -> dict[str, Any]:
    """Return what the template of the history shows: a page of the entries that have all words of the query."""
    of_streams = ContentType.objects.get_for_model(ConfiguredStream)
    entries = LogEntry.objects.filter(content_type=of_streams).select_related("user").order_by("-id")
    for word in query.split():
        somewhere = Q(object_repr__icontains=word) | Q(change_message__icontains=word)
        entries = entries.filter(somewhere | Q(user__username__icontains=word))
    page = Paginator(entries, HISTORY_PAGE).get_page(page_number)
    keys = dict(ConfiguredStream.objects.values_list("name", "pk"))
    shown = [(entry, moment(entry.action_time), keys.get(entry.object_repr)) for entry in page]
    return {"query": query, "page": page, "entries": shown}
