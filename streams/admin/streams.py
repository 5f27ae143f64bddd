"""The admin of the streams: the list, each stream's page, edits, and their history.

The views only read and show: `streams.catalogue.edits` is the only writer, and only `streams.core` knows the rules.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from streams.admin.fields import admin_fields
from streams.admin.filters import ChangedFilter, EditedFilter, SchemaFilter, StateFilter, TopicsFilter
from streams.admin.forms import AddForm, EditForm
from streams.admin.history import history_of
from streams.admin.overview import Listed, Overview, State
from streams.admin.process import clients_of
from streams.admin.stream_list import StreamList
from streams.admin.stream_page import (
    demo_address,
    effect_of,
    is_removable,
    missing_of,
    page_of,
    preview_of,
    redaction_test_address,
)
from streams.admin.sync_runs import SyncRunAdmin, sync_state
from streams.admin.texts import counted, named
from streams.catalogue import edits
from streams.catalogue.affected import AffectedStreams
from streams.catalogue.edits import Allowed, ChangedMeanwhileError, Wanted
from streams.models import ConfiguredStream

if TYPE_CHECKING:
    StreamAdmin = admin.ModelAdmin[ConfiguredStream]
else:
    StreamAdmin = admin.ModelAdmin  # not generic when it runs

__all__ = ["ConfiguredStreamAdmin", "SyncRunAdmin"]

LIVE = "it takes effect in every process within 3 seconds"
TEMPLATES = "admin/streams/configuredstream"
TOPIC = '<div class="streams-topic" title="{0}">{0}</div>'
TOPICS_SHOWN = 2
"""Maximum topics of a stream that the list names."""


@admin.register(ConfiguredStream)
class ConfiguredStreamAdmin(StreamAdmin):
    """The list of streams and the pages of each."""

    list_display = ("name", "state", "allowed", "override_keys", "topics", "clients", "links")
    list_filter = ("allowed", StateFilter, SchemaFilter, TopicsFilter, ChangedFilter, EditedFilter)
    search_fields = ("name",)
    search_help_text = "Search name, alias, topic, description or schema."
    show_facets = admin.ShowFacets.NEVER
    list_max_show_all = 2000
    actions = ("allow", "deny", "as_configured")

    # The list.

    @admin.display(description="exposed")
    def state(self, stream: ConfiguredStream) -> SafeString:
        """Return the state of the stream, and why it is not exposed."""
        listed = self._listed(stream)
        return format_html(
            '<span class="streams-state streams-{}">{}</span>{}',
            "exposed" if listed.state is State.EXPOSED else "unusable" if listed.state is State.UNUSABLE else "hidden",
            listed.state,
            format_html(' <div class="admin-quiet">{}</div>', listed.reason) if listed.reason else "",
        )

    @admin.display(description="override")
    def override_keys(self, stream: ConfiguredStream) -> str:
        """Return the settings that admins override."""
        return ", ".join(stream.override) or "–"

    @admin.display(description="topics")
    def topics(self, stream: ConfiguredStream) -> SafeString:
        """Return the first topics, and how many Kafka does not have."""
        listed = self._listed(stream)
        missing, more = listed.missing or (), len(listed.topics) - TOPICS_SHOWN
        lines = [*listed.topics[:TOPICS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        return format_html(
            "{}{}",
            format_html_join(" ", TOPIC, ((line,) for line in lines or ["–"])),
            format_html(' <strong class="admin-bad">{} missing from Kafka</strong>', len(missing)) if missing else "",
        )

    @admin.display(description="clients (this process)")
    def clients(self, stream: ConfiguredStream) -> str:
        """Return how many clients of this process read the stream."""
        clients = self._listed(stream).clients
        return "unknown" if clients is None else str(clients)

    @admin.display(description="go to")
    def links(self, stream: ConfiguredStream) -> SafeString:
        """Return links to the stream's events on the demo page, its test, and its changes."""
        overview: Overview = stream._overview  # type: ignore[attr-defined]  # see get_changelist_instance
        name, links = stream.name, []
        if events := demo_address(name, overview):
            links.append((events, f"Events of {name}", "Events"))
        if test := stream._test:  # type: ignore[attr-defined]
            links.append((test, f"Test redaction in {name}", "Test"))
        history = reverse("admin:streams_configuredstream_history", args=[stream.pk])
        links.append((history, f"Change history of {name}", "History"))
        return format_html_join(" ", '<a href="{}" aria-label="{}">{}</a>', links)

    def _listed(self, stream: ConfiguredStream) -> Listed:
        overview: Overview = stream._overview  # type: ignore[attr-defined]  # see get_changelist_instance
        return overview.streams.get(stream.pk) or Listed(stream, State.UNUSABLE, "just added", {}, None, None)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[StreamList]:
        """Return our list, which has its own order."""
        return StreamList

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list, each of whose rows knows the overview."""
        found = super().get_changelist_instance(request)
        for stream in found.result_list:
            stream._overview = Overview.of(request)
            stream._test = redaction_test_address(stream.name, stream._overview, request)
        return found

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, with how the configuration stands."""
        overview = Overview.of(request)
        more = {
            "title": "Streams",
            "sync": sync_state(request),
            "back": "streams",
            "total": len(overview.rows),
            "exposed": len(overview.catalogue.streams),
            "is_kafka_known": overview.absent_topics is not None,
            "problems": overview.catalogue.mistakes,
        }
        return super().changelist_view(request, {**more, **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ConfiguredStream], search_term: str
    ) -> tuple[QuerySet[ConfiguredStream], bool]:
        """Return the streams in which all words are found."""
        words = search_term.split()
        if not words:
            return queryset, False
        streams = Overview.of(request).streams
        return queryset.filter(pk__in=[pk for pk, stream in streams.items() if stream.matches(words)]), False

    def get_urls(self) -> list[URLPattern]:
        """Return Django's URLs and ours."""
        view = self.admin_site.admin_view
        own = [
            path("allowed/", view(self.allowed_view), name="streams_allowed"),
            path("history/", view(self.all_history_view), name="streams_history"),
        ]
        return own + super().get_urls()

    # One stream: its page, an edit, a new one.

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one stream, and take an edit of it."""
        row = self.get_object(request, object_id)
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        if row is None:
            messages.warning(request, "This stream no longer exists.")
            return self._to_list()
        overview = Overview.of(request)
        may_change = self.has_change_permission(request, row)
        if request.method == "POST" and not may_change:
            raise PermissionDenied
        form = EditForm(
            request.POST if request.method == "POST" else None,
            name=row.name,
            row=row,
            layers=overview.layers,
            hosts=overview.config.admin_uri_hosts,
        )
        if form.is_valid() and request.POST.get("step") != "edit":
            return self._save(request, form, overview)
        context = {
            **self.admin_site.each_context(request),
            **page_of(row, overview, request),
            "title": row.name,
            "row": row,
            "opts": self.opts,
            "may_change": may_change,
            "may_remove": self.has_delete_permission(request, row),
            "form": form,
            "adminform": admin_fields(form),
            "errors": form.errors,
        }
        return TemplateResponse(request, f"{TEMPLATES}/stream.html", context)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Add a stream."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        overview = Overview.of(request)
        data = request.POST if request.method == "POST" else None
        form = AddForm(data, layers=overview.layers, hosts=overview.config.admin_uri_hosts)
        if form.is_valid() and request.POST.get("step") != "edit":
            return self._save(request, form, overview)
        context = {
            **self.admin_site.each_context(request),
            "title": "Add a stream",
            "opts": self.opts,
            "form": form,
            "adminform": admin_fields(form),
            "errors": form.errors,
        }
        return TemplateResponse(request, f"{TEMPLATES}/add.html", context)

    def _save(self, request: HttpRequest, form: EditForm, overview: Overview) -> HttpResponse:
        """Write an edit, after a preview if it changes settings or disconnects clients."""
        name, wanted = form.stream or "", form.wanted
        row = overview.rows.get(name)
        if row is not None and Wanted.of(row).fingerprint == wanted.fingerprint:
            messages.info(request, f"No changes to “{name}”.")
            return self._to_stream(row.pk)
        effect = effect_of(overview, {name: wanted})
        must_ask = bool(effect.affected.names) or Wanted.of(row).override != wanted.override
        if must_ask and not _is_confirmed(request, effect.affected.names):
            context = {
                **self.admin_site.each_context(request),
                **preview_of(name, wanted, overview, effect),
                "title": "Apply these changes?",
                "opts": self.opts,
                "name": name,
                "form": form,
            }
            return TemplateResponse(request, f"{TEMPLATES}/preview.html", context)
        try:
            edits.write({name: wanted}, request.user, {name: form.cleaned_data["seen"]})
        except ChangedMeanwhileError as error:
            messages.error(request, f"Nothing was saved. {error}")
        else:
            messages.success(request, f"“{name}” was saved; {LIVE}.")
            for topic in missing_of(wanted, overview)[0] if must_ask else ():
                messages.warning(request, f"The topic {topic} of “{name}” is missing from Kafka: check its name.")
        kept = ConfiguredStream.objects.filter(name=name).values_list("pk", flat=True).first()
        return self._to_list() if kept is None else self._to_stream(kept)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Remove a stream that only admins have defined."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            messages.warning(request, "This stream no longer exists.")
            return self._to_list()
        overview = Overview.of(request)
        if not is_removable(row, overview):
            messages.error(request, f"“{row.name}” is defined elsewhere and would be re-created; deny it instead.")
            return self._to_stream(row.pk)
        if request.method == "POST":
            if edits.remove(row.name, request.user):  # type: ignore[arg-type]  # nobody is anonymous here
                messages.success(request, f"“{row.name}” was removed; {LIVE}.")
            return self._to_list()
        exposed = [row.name] if row.name in overview.catalogue.streams else []
        context = {
            **self.admin_site.each_context(request),
            "title": "Remove this stream?",
            "opts": self.opts,
            "row": row,
            "affected": AffectedStreams(withdrawn=tuple(exposed)),
            "clients": clients_of(overview.process, exposed),
        }
        return TemplateResponse(request, f"{TEMPLATES}/remove.html", context)

    # Many at once.

    @admin.action(description="Allow: clients can read them", permissions=["change"])
    def allow(self, request: HttpRequest, queryset: QuerySet[ConfiguredStream]) -> HttpResponse | None:
        """Allow the chosen streams."""
        return self._set_allowed(request, queryset, Allowed.YES)

    @admin.action(description="Deny: clients cannot read them …", permissions=["change"])
    def deny(self, request: HttpRequest, queryset: QuerySet[ConfiguredStream]) -> HttpResponse | None:
        """Deny the chosen streams."""
        return self._set_allowed(request, queryset, Allowed.NO)

    @admin.action(description="As configured: allowed_streams decides …", permissions=["change"])
    def as_configured(self, request: HttpRequest, queryset: QuerySet[ConfiguredStream]) -> HttpResponse | None:
        """Let the configuration decide on the chosen streams."""
        return self._set_allowed(request, queryset, Allowed.AS_CONFIGURED)

    def get_actions(self, request: HttpRequest) -> Any:
        """Return the actions, without Django's deletion."""
        return {name: each for name, each in super().get_actions(request).items() if name != "delete_selected"}

    def allowed_view(self, request: HttpRequest) -> HttpResponse:
        """Take the answer to the question that an action has asked."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        allowed = request.POST.get("allowed", "")
        if allowed in Allowed.values:
            numbers = [int(number) for number in re.findall(r"\b\d{1,18}\b", request.POST.get("streams", ""))]
            answer = self._set_allowed(request, numbers, Allowed(allowed))
            if answer is not None:
                return answer
        return self._to_list()

    def _set_allowed(
        self, request: HttpRequest, chosen: QuerySet[ConfiguredStream] | list[int], allowed: Allowed
    ) -> HttpResponse | None:
        overview = Overview.of(request)
        numbers = set(chosen if isinstance(chosen, list) else chosen.values_list("pk", flat=True))
        rows = [row for row in overview.rows.values() if row.pk in numbers]
        wanted = {row.name: Wanted(row.override, allowed) for row in rows}
        effect = effect_of(overview, wanted)
        if allowed is Allowed.YES:
            invalid = {name: why for name, why in effect.after.skipped if name in wanted}
            for name, why in invalid.items():
                messages.warning(request, f"“{name}” was not changed: {why}.")
            wanted = {name: each for name, each in wanted.items() if name not in invalid}
        if effect.affected.names and not _is_confirmed(request, effect.affected.names):
            context = {
                **self.admin_site.each_context(request),
                "title": f"Set “allowed” to “{allowed.label}”?",
                "opts": self.opts,
                "allowed": allowed,
                "count": len(wanted),
                "streams": ",".join(str(number) for number in numbers),
                "affected": effect.affected,
                "clients": clients_of(overview.process, effect.affected.names),
            }
            return TemplateResponse(request, f"{TEMPLATES}/allowed.html", context)
        changed = edits.write(wanted, request.user)
        text = counted(len(changed), "stream", "streams")
        if changed:
            messages.success(request, f"{text} set to “{allowed.label}”; {LIVE}: {named(changed)}.")
        else:
            messages.info(request, "No changes.")
        return None

    # The history.

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the history of one stream."""
        if not self.has_view_permission(request):
            raise PermissionDenied  # the address of that page has the stream's name
        row = self.get_object(request, object_id)
        return HttpResponseRedirect(
            reverse("admin:streams_history", query={"q": row.name} if row is not None else None)
        )

    def all_history_view(self, request: HttpRequest) -> HttpResponse:
        """Show who changed what of which stream, and when, including streams that were removed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Change history",
            "opts": self.opts,
            **history_of(request.GET.get("q", "").strip(), request.GET.get("p")),
        }
        return TemplateResponse(request, f"{TEMPLATES}/history.html", context)

    def _to_list(self) -> HttpResponseRedirect:
        return HttpResponseRedirect(reverse("admin:streams_configuredstream_changelist"))

    def _to_stream(self, key: int) -> HttpResponseRedirect:
        return HttpResponseRedirect(reverse("admin:streams_configuredstream_change", args=[key]))


def _is_confirmed(request: HttpRequest, affected: Collection[str]) -> bool:
    """Whether the admin has confirmed that clients of all these streams are disconnected."""
    asked: Mapping[str, str] = request.POST
    return asked.get("step") == "apply" and set(affected) <= set(asked.get("confirmed", "").split(","))
