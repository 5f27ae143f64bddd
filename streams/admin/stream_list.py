"""The list of streams: its order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest

from streams.admin.overview import Overview, State


class StreamList(ChangeList):
    """Streams by name, the unusable ones last, unless a column was chosen to sort by."""

    if TYPE_CHECKING:
        params: dict[str, Any]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return the columns and expressions to sort by."""
        ordering: list[Any] = super().get_ordering(request, queryset)
        if ORDER_VAR in self.params:
            return ordering
        unusable = [key for key, stream in Overview.of(request).streams.items() if stream.state is State.UNUSABLE]
        if not unusable:
            return ordering
        return [Case(When(pk__in=unusable, then=Value(1)), default=Value(0)), *ordering]
