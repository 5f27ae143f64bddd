"""The admin of the list of redacted pages, and of its history.

Pages are added and removed, never edited, so that the history tells everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from redaction.admin.check_page import redaction_test_urls
from redaction.admin.configured import (
    configured_identities,
    configured_pages,
    doubtful,
    found,
    warning_of_too_few,
)
from redaction.admin.forms import PageForm, RemoveForm
from redaction.admin.import_export import export_csv, export_yaml, import_view
from redaction.admin.links import demo_stream, history_address, links_of, redaction_test_address, wiki_link
from redaction.admin.matches import MatchedFilter, match_text, with_match_texts, with_matches
from redaction.entries.evidence_reader import EvidenceReader
from redaction.entries.titles import NotAPageError, Page, is_address, page_of_address
from redaction.listed import changes, holds
from redaction.listed.matches import Match
from redaction.models import PageChange, RedactedPage
from streams.admin.fields import admin_fields
from streams.admin.texts import counted, moment
from streams.core.spelling import normalise_title

if TYPE_CHECKING:
    PageAdmin = admin.ModelAdmin[RedactedPage]
    ChangeAdmin = admin.ModelAdmin[PageChange]
else:
    PageAdmin = ChangeAdmin = admin.ModelAdmin  # not generic when it runs

SHOWN = 20
"""Maximum pages that are named before they are removed."""


def search(queryset: QuerySet[Any], term: str, *fields: str) -> QuerySet[Any]:
    """Return the rows that have every word of `term` in the title or domain, in any spelling, or in `fields`."""
    if is_address(term):
        try:
            domain, key = page_of_address(term).identity
        except NotAPageError:
            return queryset.none()
        return queryset.filter(domain=domain, key=key)
    for word in term.split():
        if key := normalise_title(word):
            somewhere = Q(key__contains=key) | Q(domain__contains=word.lower())
            for field in fields:
                somewhere |= Q((f"{field}__icontains", word))
            queryset = queryset.filter(somewhere)
    return queryset


@admin.register(RedactedPage)
class RedactedPageAdmin(PageAdmin):
    """The list, with what admins do there."""

    form = PageForm
    list_display = ("page", "domain", "reason", "added_by", "when", "matched", "links", "removal")
    list_display_links = None
    list_filter = (MatchedFilter, "domain")
    list_select_related = ("added_by",)
    search_fields = ("title",)
    search_help_text = "Search title, domain, reason, user or page address."
    actions = ("delete_selected",)
    evidence = EvidenceReader()

    @admin.display(description="page", ordering="key")
    def page(self, page: RedactedPage) -> SafeString:
        """Return the title, as a link to the wiki."""
        return wiki_link(page.domain, page.title)

    @admin.display(description="added at (UTC)", ordering="added_at")
    def when(self, page: RedactedPage) -> str:
        """Return when the page was added."""
        return moment(page.added_at)

    @admin.display(description="last matched", ordering="last_match")
    def matched(self, page: Any) -> str:
        """Return when a page of `get_queryset` last matched an event."""
        return match_text(Match(page.last_match, page.match_count) if page.last_match else None)

    @admin.display(description="go to")
    def links(self, page: Any) -> SafeString:
        """Return links to the page's test, its events on the demo page, and its history."""
        return links_of(page.domain, page.title, page._demo_stream)  # see get_changelist_instance

    @admin.display(description="")
    def removal(self, page: RedactedPage) -> SafeString:
        """Return a link that leads to the page's removal."""
        address = reverse("admin:redaction_redactedpage_delete", args=[page.pk])
        return format_html('<a href="{}" aria-label="Remove {}">Remove</a>', address, page.title)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RedactedPage]:
        """Return the pages with what they have matched."""
        return with_matches(super().get_queryset(request))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list, each of whose rows knows on which stream the demo page shows its events."""
        found = super().get_changelist_instance(request)
        stream = demo_stream(request)
        for page in found.result_list:
            page._demo_stream = stream
        return found

    def get_list_display(self, request: HttpRequest) -> Any:
        """Leave out the column of removals for users who may not remove."""
        return self.list_display if self.has_delete_permission(request) else self.list_display[:-1]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RedactedPage], search_term: str
    ) -> tuple[QuerySet[RedactedPage], bool]:
        """Search as `search` does."""
        return search(queryset, search_term, "reason", "added_by__username"), False

    def has_change_permission(self, request: HttpRequest, obj: RedactedPage | None = None) -> bool:
        """Refuse: a page is removed and added again instead."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of removing, import, export and test."""
        view = self.admin_site.admin_view
        own = [
            path("remove/", view(self.remove_view), name="redaction_redactedpage_remove"),
            path("import/", view(self.import_view), name="redaction_redactedpage_import"),
            path("export.csv", view(self.export_csv), name="redaction_redactedpage_export_csv"),
            path("export.yaml", view(self.export_yaml), name="redaction_redactedpage_export_yaml"),
        ]
        return own + redaction_test_urls(self.admin_site) + super().get_urls()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, and below it the configuration file's pages."""
        if not self.has_view_permission(request):
            raise PermissionDenied  # before anything is read for the page
        pages_of_file = configured_pages(request)
        configured = found(pages_of_file, request.GET.get("q", ""), request.GET.get("domain", ""))
        more = {
            "title": "Redacted pages",
            "configured": configured,
            "configured_matches": with_match_texts(configured, demo_stream(request)),
            "configured_doubtful": doubtful(configured, self.evidence.of(request)) if configured else [],
            "configured_count": sum(len(titles) for _, titles in configured),
        }
        return super().changelist_view(request, {**more, **(extra_context or {})})

    # Adding.

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[PageForm]:
        """Return the form for this request's process, with its configured pages and its evidence."""
        form = super().get_form(request, obj, change=change, **kwargs)
        evidence = staticmethod(partial(self.evidence.of, request))
        return type("PageForm", (form,), {"configured": configured_pages(request), "evidence": evidence})

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form for one page."""
        more = {"title": "Redact a page", "show_save_and_continue": False}
        return super().add_view(request, form_url, {**more, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: RedactedPage, form: Any, change: bool) -> None:
        """List the page."""
        page = Page(obj.domain, obj.title)
        changes.add([page], obj.reason, self._user(request))
        # If another admin was faster, this is their row.
        domain, key = page.identity
        obj.pk = RedactedPage.objects.values_list("pk", flat=True).get(domain=domain, key=key)

    def response_add(
        self, request: HttpRequest, obj: RedactedPage, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Say that the page is listed, with a link to its test."""
        text = format_html(
            'Added “{}” ({}). Matching events are redacted within 3 seconds. <a href="{}">Test it</a>.',
            obj.title,
            obj.domain,
            redaction_test_address(obj.domain, obj.title),
        )
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(request.path) if "_addanother" in request.POST else self._to_list()

    # Removing.

    @admin.action(description="Remove from the list …", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[RedactedPage]) -> HttpResponse:
        """Ask for a reason, which Django's own action does not."""
        return self._ask(request, queryset)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask before one page is removed."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        page = self.get_object(request, object_id)
        if page is None:
            self.message_user(request, "This page is no longer on the list.", messages.WARNING)
            return self._to_list()
        return self._ask(request, [page])

    def remove_view(self, request: HttpRequest) -> HttpResponse:
        """Remove pages, after the question that the two above ask."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        numbers = [int(number) for number in re.findall(r"\b\d{1,18}\b", request.POST.get("pages", ""))]
        listed = list(RedactedPage.objects.in_bulk(numbers).values())
        form = RemoveForm(len(listed), request.POST)
        if listed and not form.is_valid():
            return self._ask(request, listed, form)
        count = changes.remove(listed, form.cleaned_data["reason"], self._user(request)) if listed else 0
        if count < len(numbers):
            text = f"{counted(len(numbers) - count, 'page was', 'pages were')} no longer on the list."
            self.message_user(request, text, messages.WARNING)
        if count:
            text = (
                f"{counted(count, 'page was', 'pages were')} removed; within 3 seconds all processes will show who "
                "made their events again."
            )
            self.message_user(request, text, messages.SUCCESS)
        return self._to_list()

    def _ask(
        self, request: HttpRequest, listed: Iterable[RedactedPage], form: RemoveForm | None = None
    ) -> HttpResponse:
        listed = list(listed)
        form = form or RemoveForm(len(listed))
        configured = configured_identities(configured_pages(request))
        context = {
            **self.admin_site.each_context(request),
            "title": "Remove from the list",
            "opts": self.opts,
            "count": len(listed),
            "too_few": warning_of_too_few(request, holds.in_force_count() - len(listed)),
            "shown": [(page, (page.domain, page.key) in configured) for page in listed[:SHOWN]],
            "more": max(0, len(listed) - SHOWN),
            "pages": ",".join(str(page.pk) for page in listed),
            "adminform": admin_fields(form),
            "errors": form.errors,
        }
        return TemplateResponse(request, "admin/redaction/redactedpage/remove.html", context)

    # Many at once.

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Show a step of the import."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return import_view(self, self.evidence, request, self._user(request))

    def export_csv(self, request: HttpRequest) -> HttpResponse:
        """Answer with the list as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return export_csv()

    def export_yaml(self, request: HttpRequest) -> HttpResponse:
        """Answer with the list as YAML."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return export_yaml()

    # History: PageChange has all of it. Django's own, which has no reasons and no imports, is not kept as well.

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Write nothing into Django's own history."""
        return None

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the page's lines in the history."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        page = self.get_object(request, object_id)
        everything = reverse("admin:redaction_pagechange_changelist")
        return HttpResponseRedirect(history_address(page.domain, page.title) if page else everything)

    def _to_list(self) -> HttpResponseRedirect:
        return HttpResponseRedirect(reverse("admin:redaction_redactedpage_changelist"))

    @staticmethod
    def _user(request: HttpRequest) -> Any:
        return request.user


@admin.register(PageChange)
class PageChangeAdmin(ChangeAdmin):
    """The history, read-only."""

    list_display = ("when", "by", "what", "page", "domain", "reason", "links")
    list_display_links = None
    list_filter = ("what", "domain")
    date_hierarchy = "at"
    search_fields = ("title",)
    search_help_text = "Search title, domain, reason, user, change or page address."
    actions = None

    @admin.display(description="page", ordering="key")
    def page(self, change: PageChange) -> SafeString | str:
        # The line of a held list that was applied has no domain.
        """Return the title, as a link to the wiki."""
        return wiki_link(change.domain, change.title) if change.domain else change.title

    @admin.display(description="go to")
    def links(self, change: Any) -> SafeString | str:
        """Return links to the page's test, its events on the demo page, and its history."""
        return links_of(change.domain, change.title, change._demo_stream) if change.domain else ""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list, each of whose rows knows on which stream the demo page shows its events."""
        found = super().get_changelist_instance(request)
        stream = demo_stream(request)
        for change in found.result_list:
            change._demo_stream = stream
        return found

    @admin.display(description="at (UTC)", ordering="at")
    def when(self, change: PageChange) -> str:
        """Return when the change was made."""
        return moment(change.at)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PageChange], search_term: str
    ) -> tuple[QuerySet[PageChange], bool]:
        """Search as `search` does."""
        return search(queryset, search_term, "reason", "by", "what"), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the history."""
        return super().changelist_view(request, {"title": "Change history", **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: changes are recorded, not entered."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: PageChange | None = None) -> bool:
        """Refuse: the history stays as it is."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: PageChange | None = None) -> bool:
        """Refuse: the history stays as it is."""
        return False
