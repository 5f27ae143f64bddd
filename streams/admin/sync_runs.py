"""Synchronisations in the admin: their history, the state of the last one, "Sync now", and applying a held one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from streams.admin.missing_topics import missing_by_stream
from streams.admin.overview import Overview
from streams.admin.process import clients_of, running
from streams.admin.texts import counted, moment, named, span
from streams.catalogue.affected import affected_streams
from streams.catalogue.database import layers_of
from streams.catalogue.synchronise import NothingHeldError, SyncResult, apply_held
from streams.core.catalogue import compile_catalogue
from streams.models import SyncRun

if TYPE_CHECKING:
    RunAdmin = admin.ModelAdmin[SyncRun]
else:
    RunAdmin = admin.ModelAdmin  # not generic when it runs

Outcome = SyncRun.Outcome

MAY_SYNC = "streams.sync"
BACK = {
    "index": "admin:index",
    "streams": "admin:streams_configuredstream_changelist",
    "runs": "admin:streams_syncrun_changelist",
}
"""The pages to which "Sync now" returns."""
OPEN = 20
"""Maximum names in a list that is shown unfolded."""
MESSAGES = 20
"""Maximum number of problems that one synchronisation shows as messages; the list of streams has all of them."""
NO_SERVICE = "This page is not served by the service, so it cannot synchronise."


def sync_state(request: HttpRequest) -> dict[str, Any]:
    """Return the state of the stream configuration, in this process and in the history."""
    process = running(request)
    last_good_at = process.refresh.last_good_at if process else None
    last = process.refresh.last if process else None
    # `pending`, the document of a held run, may be large.
    newest = SyncRun.objects.defer("pending").first()
    held = SyncRun.objects.defer("pending").filter(pending__isnull=False).first()
    if last is not None:
        failure = last.error if last.outcome is Outcome.FAILED else ""
    else:
        failure = newest.error if newest is not None and newest.outcome == Outcome.FAILED else ""
    return {
        "is_known": process is not None,
        "source": last.source if last else newest.source if newest else "",
        "good_ago": span(time.time() - last_good_at) if last_good_at is not None else "",
        "failure": failure,
        "difference": last.error if last is not None and last.differs else "",
        "held": held,
        "left_out": last.left_out if last is not None else (newest.left_out if newest is not None else ()),
        "mistakes": process.catalogue.mistakes if process is not None and process.catalogue is not None else (),
        "missing": missing_by_stream(process),
        "newest": newest,
        "exposed": len(process.catalogue.streams) if process is not None and process.catalogue is not None else None,
        "may_sync": may_sync(request),
    }


def may_sync(request: HttpRequest) -> bool:
    """Return whether the user may synchronise."""
    user: Any = request.user
    return bool(user.has_perm(MAY_SYNC))


def say(request: HttpRequest, result: SyncResult) -> None:
    """Add messages that tell what a synchronisation did."""
    if result.outcome in {Outcome.FAILED, Outcome.HELD}:
        level = messages.ERROR if result.outcome is Outcome.FAILED else messages.WARNING
        messages.add_message(request, level, f"Nothing was changed. {result.error}")
        return
    parts = [
        f"{len(names)} {what}: {named(names)}"
        for what in ("added", "removed", "changed", "withdrawn")
        if (names := getattr(result, what))
    ]
    text = "; ".join(parts) or "no changes since the last time"
    is_applied = result.outcome is Outcome.APPLIED
    done = "Applied the configuration fetched from" if is_applied else "Synchronised with"
    messages.success(request, f"{done} {result.source} in {result.seconds:.1f} s: {text}.")
    for name, reason in result.left_out:
        messages.warning(request, f"Stream {name} was skipped: {reason}.")
    touched = {*result.added, *result.changed}
    for name, reason in [each for each in result.problems if each.name in touched][:MESSAGES]:
        messages.warning(request, f"Stream {name}: {reason}.")


class StoredOutcomes(admin.ChoicesFieldListFilter):
    """The outcomes that runs of the history can have: one that differs from what is stored is never written."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield the choices without that outcome (Django)."""
        label = Outcome.DIFFERS.label
        return (choice for choice in super().choices(changelist) if choice["display"] != label)


@admin.register(SyncRun)
class SyncRunAdmin(RunAdmin):
    """The history of synchronisations: read-only, except that a held one can be applied."""

    list_display = ("when", "result", "what", "by_whom", "took", "error")
    list_display_links = ("when",)
    list_filter = (("outcome", StoredOutcomes),)
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    actions = None
    fields = (
        *("result", "when", "took", "by_whom", "source", "error"),
        *("added_names", "removed_names", "changed_names", "left_out_names"),
    )
    readonly_fields = fields

    @admin.display(description="at (UTC)", ordering="id")
    def when(self, run: SyncRun) -> str:
        """Return when it began."""
        return moment(run.at)

    @admin.display(description="outcome", ordering="outcome")
    def result(self, run: SyncRun) -> SafeString:
        """Return how it ended."""
        text = "held" if run.outcome == Outcome.HELD else run.outcome
        return format_html('<span class="streams-state streams-{}">{}</span>', run.outcome, text)

    @admin.display(description="streams")
    def what(self, run: SyncRun) -> str:
        """Return how many streams it changed."""
        parts = [f"{len(names)} {what}" for what in ("added", "removed", "changed") if (names := getattr(run, what))]
        parts += [f"{len(run.left_out)} skipped"] if run.left_out else []
        return ", ".join(parts) or "–"

    @admin.display(description="by")
    def by_whom(self, run: SyncRun) -> str:
        """Return who asked for it."""
        return run.by or "the service"

    @admin.display(description="took")
    def took(self, run: SyncRun) -> str:
        """Return how long it took."""
        return f"{run.seconds:.2f} s"

    @admin.display(description="added")
    def added_names(self, run: SyncRun) -> SafeString | str:
        """Return the streams that it added."""
        return _list(run.added)

    @admin.display(description="removed")
    def removed_names(self, run: SyncRun) -> SafeString | str:
        """Return the streams that it removed."""
        return _list(run.removed)

    @admin.display(description="changed")
    def changed_names(self, run: SyncRun) -> SafeString | str:
        """Return the streams that it changed."""
        return _list(run.changed)

    @admin.display(description="skipped")
    def left_out_names(self, run: SyncRun) -> SafeString | str:
        """Return the streams that it skipped, with the reasons."""
        return _list([f"{name}: {reason}" for name, reason in run.left_out])

    def get_urls(self) -> list[URLPattern]:
        """Return Django's URLs and ours."""
        view = self.admin_site.admin_view
        own = [
            path("sync/", view(self.sync_view), name="streams_sync"),
            path("<int:run>/apply/", view(self.apply_view), name="streams_apply"),
        ]
        return own + super().get_urls()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        more = {"title": "Synchronisations", "sync": sync_state(request), "back": "runs"}
        return super().changelist_view(request, {**more, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one synchronisation."""
        run = self.get_object(request, object_id)
        waits = run is not None and run.pending is not None and may_sync(request)
        more = {"title": "Synchronisation", "waits": waits}
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def sync_view(self, request: HttpRequest) -> HttpResponse:
        """Synchronise now."""
        if not may_sync(request) or request.method != "POST":
            raise PermissionDenied
        process = running(request)
        back = HttpResponseRedirect(reverse(BACK.get(request.POST.get("back", ""), BACK["runs"])))
        if process is None:
            messages.error(request, NO_SERVICE)
            return back
        try:
            # On the process's event loop: there, one runs at a time, and the last document is known.
            result = async_to_sync(process.refresh.run)(by=request.user.get_username())
        except DatabaseError as error:
            messages.error(request, f"Nothing was changed. The database: {error}")
        else:
            say(request, result)
        return back

    def apply_view(self, request: HttpRequest, run: int) -> HttpResponse:
        """Ask for confirmation, then apply the held synchronisation exactly as it was fetched."""
        if not may_sync(request):
            raise PermissionDenied
        to_runs = HttpResponseRedirect(reverse(BACK["runs"]))
        held = SyncRun.objects.filter(pk=run, pending__isnull=False).first()
        overview = Overview.of(request)
        if request.method == "POST":
            try:
                result = apply_held(run, overview.config, by=request.user.get_username())
            except NothingHeldError as error:
                messages.warning(request, str(error))
            else:
                say(request, result)
                if overview.process is not None:
                    # Until it has synchronised again, the process still reports a held configuration.
                    async_to_sync(overview.process.refresh.run)()
            return to_runs
        if held is None:
            messages.warning(request, "This synchronisation is not awaiting approval.")
            return to_runs
        after = compile_catalogue(layers_of(overview.config, overview.rows, held.pending), 0)
        affected = affected_streams(overview.catalogue.streams.values(), after)
        context = {
            **self.admin_site.each_context(request),
            "title": "Apply the held synchronisation",
            "opts": self.opts,
            "run": held,
            "affected": affected,
            "clients": clients_of(overview.process, affected.names),
            "counts": [
                (counted(len(names), "stream", "streams"), what, names)
                for what, names in (("added", held.added), ("removed", held.removed), ("changed", held.changed))
                if names
            ],
        }
        return TemplateResponse(request, "admin/streams/syncrun/apply.html", context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds one."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: SyncRun | None = None) -> bool:
        """Nobody changes one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SyncRun | None = None) -> bool:
        """Nobody deletes one."""
        return False


def _list(names: list[str]) -> SafeString | str:
    if not names:
        return "–"
    return format_html(
        '<details{}><summary>{}</summary><ul class="streams-names">{}</ul></details>',
        SafeString(" open") if len(names) <= OPEN else "",
        counted(len(names), "stream", "streams"),
        format_html_join("", "<li>{}</li>", ((name,) for name in names)),
    )
