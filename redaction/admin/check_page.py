"""The staff page "Test a redaction": a form, and the check itself as a stream of JSON lines.

It runs in a server process, reads from that process's own HTTP port as any client would, and reads the raw records
through that process's Kafka connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from asgiref.sync import sync_to_async
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from redaction.admin.check_form import CheckForm
from redaction.admin.listing import listing
from redaction.check.api_client import CheckError
from redaction.check.check import Question, Raw, check
from redaction.check.findings import Finding, Progress
from redaction.models import RedactedPage
from streams.admin.fields import admin_fields
from streams.admin.process import Running, running

log = logging.getLogger(__name__)

VIEW = "redaction.view_redactedpage"
VIEW_RAW = "redaction.view_raw"
MAX_RUNNING = 3
"""Maximum checks at a time in one process. Each reads as much as a client that catches up."""
MAX_SHOWN = 100_000
"""Maximum characters of a raw event, or of a served one."""
MAX_VALUES = 20
"""Maximum events of one stream and verdict whose values are sent: a busy page has thousands."""


class _Staff(NamedTuple):
    """A user and their permissions."""

    user_id: Any
    may_use: bool
    may_see_raw: bool


def redaction_test_urls(admin_site: AdminSite) -> list[URLPattern]:
    """Return the addresses for the admin: `redaction_test` is the page, `redaction_test_run` what its script calls."""
    test = _RedactionTest(admin_site)
    return [
        path("test/", admin_site.admin_view(test.page), name="redaction_test"),
        path("test/run/", test.run, name="redaction_test_run"),
    ]


class _RedactionTest:
    def __init__(self, admin_site: AdminSite) -> None:
        self._site = admin_site
        self._running: set[Any] = set()
        """The ids of the users whose check runs in this process."""

    def page(self, request: HttpRequest) -> HttpResponse:
        """Show the form; `?domain=…&title=…` fills it in."""
        staff = self._staff(request)
        if not staff.may_use:
            raise PermissionDenied
        given = {name: request.GET[name] for name in CheckForm.base_fields if name in request.GET}
        catalogue = _service(request).catalogue
        context = {
            **self._site.each_context(request),
            "title": "Test a redaction",
            "opts": RedactedPage._meta,
            "adminform": admin_fields(CheckForm(initial=given)),
            "may_see_raw": staff.may_see_raw,
            "stream_names": sorted(catalogue.streams) if catalogue else [],
        }
        response = TemplateResponse(request, "admin/redaction/test.html", context)
        response["Cache-Control"] = "no-store"
        return response

    async def run(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with the check as lines of JSON; it ends when the client leaves.

        Lines: ``{"listed": …}``, ``{"progress": …}``, ``{"event": …}``, and ``{"result": …}`` or ``{"error": …}``. For
        wrong fields, the answer is 400 with ``{"errors": {field: […]}}``.
        """
        if request.method != "POST":
            return _answer(405, {"error": "Use the page's form."}, Allow="POST")
        staff = await sync_to_async(self._staff)(request)
        if not staff.may_use:
            return _answer(
                403, {"error": "Log in again: you do not (or no longer) have permission to test redactions."}
            )
        service = _service(request)
        form = CheckForm(request.POST, catalogue=service.catalogue)
        if not form.is_valid():
            return _answer(400, {"errors": form.errors})
        server = request.scope.get("server")  # type: ignore[attr-defined]
        if not server or server[1] is None:
            return _answer(501, {"error": "This server listens on no TCP port, so a test cannot read from it."})
        listed = await sync_to_async(listing)(form.page, service.configured_pages) if form.page else None
        lines = self._lines(form.question(), listed, _address(*server), service, staff)
        return StreamingHttpResponse(
            lines,
            content_type="application/x-ndjson; charset=utf-8",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    def _staff(self, request: HttpRequest) -> _Staff:
        """Read the user's permissions from the database. Call it in a thread."""
        user: Any = request.user
        may_use = self._site.has_permission(request) and user.has_perm(VIEW)
        return _Staff(user.pk, may_use, may_use and user.has_perm(VIEW_RAW))

    async def _lines(
        self, question: Question, listed: dict[str, Any] | None, url: str, service: Running, staff: _Staff
    ) -> AsyncIterator[bytes]:
        shown: Counter[tuple[str, str]] = Counter()
        if listed is not None:
            yield _line(listed=listed)
        reports: asyncio.Queue[Progress | Finding | None] = asyncio.Queue()
        try:
            with self._place(staff.user_id):
                checking = asyncio.ensure_future(_check(question, url, service, reports.put_nowait))
                checking.add_done_callback(lambda _: reports.put_nowait(None))
                try:
                    yield _line(progress=Progress("raw", 0, "", None)._asdict())
                    while (report := await reports.get()) is not None:
                        if isinstance(report, Progress):
                            yield _line(progress=report._asdict())
                        else:
                            kind = report.position.stream, report.verdict.value
                            shown[kind] += 1
                            has_values = staff.may_see_raw and shown[kind] <= MAX_VALUES
                            yield _line(event=_shown(report, has_values))
                    yield _line(result=(await checking).public())
                finally:
                    checking.cancel()
                    await asyncio.gather(checking, return_exceptions=True)
        except CheckError as error:
            yield _line(error=str(error))
        except Exception as error:
            # Not its text, nor a traceback of frames that hold events.
            log.error("A test of a redaction failed: %s", type(error).__name__)
            yield _line(error="The test failed because of an internal error; the server's log names its kind.")

    @contextlib.contextmanager
    def _place(self, user_id: Any) -> Iterator[None]:
        if user_id in self._running:
            raise CheckError("You are already running a test: stop it, or wait until it ends")
        if len(self._running) >= MAX_RUNNING:
            raise CheckError(f"{MAX_RUNNING} tests are already running: wait until one ends")
        self._running.add(user_id)
        try:
            yield
        finally:
            self._running.discard(user_id)


async def _check(question: Question, url: str, service: Running, report: Any) -> Any:
    catalogue = service.catalogue
    assert catalogue is not None  # the form has resolved names with it
    topics = {name: catalogue.streams[name].topics for name in question.streams}
    there = service.source.partitions
    streams = tuple(name for name, of in topics.items() if any(topic in there for topic in of))
    if not streams:
        raise CheckError("None of the topics of these streams exists in Kafka")
    raw = Raw(service.source, topics)
    return await check(replace(question, streams=streams), url, raw, report, max_streams=service.settings.max_streams)


def _service(request: HttpRequest) -> Running:
    service = running(request)
    if service is None:
        raise Http404("A redaction can only be tested in the running service: open this page under `manage.py serve`")
    return service


def _address(host: str, port: int) -> str:
    """Return the address of the socket that the request came to; the Host header comes from the client."""
    host = host.removeprefix("::ffff:")
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _shown(finding: Finding, has_values: bool) -> dict[str, Any]:
    values = {"raw": _pretty(finding.raw), "served": _pretty(finding.served)} if has_values else {}
    return finding.public() | values


def _pretty(text: bytes | None) -> str | None:
    if text is None:
        return None
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        text = msgspec.json.format(text, indent=2)
    shown = text.decode(errors="replace")
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}\n… ({len(shown):,} characters in all)"


def _line(**item: Any) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _answer(status: int, body: dict[str, Any], **headers: str) -> JsonResponse:
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store", **headers})
