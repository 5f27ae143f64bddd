"""Imports many pages, with a preview, and exports the list."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from redaction.admin.configured import configured_identities, configured_pages
from redaction.admin.forms import ListForm, ReasonForm
from redaction.entries.evidence import Evidence
from redaction.entries.evidence_reader import EvidenceReader
from redaction.entries.titles import Page
from redaction.imports import lists
from redaction.imports.csv_cells import escaped
from redaction.imports.yaml_text import PAGES_KEY
from redaction.listed import changes
from redaction.models import RedactedPage
from streams.admin.fields import admin_fields
from streams.admin.texts import counted

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[RedactedPage]
else:
    ModelAdmin = admin.ModelAdmin

SHOWN = 50
"""Maximum entries of each kind that a preview names."""

FORMATS = {
    lists.Format.LINES: "lines",
    lists.Format.CSV: "CSV",
    lists.Format.YAML: "YAML",
}


IMPORT, IMPORT_SUGGESTED, IMPORT_ALL = "import", "import_suggested", "import_all"
"""What the buttons of a preview do with doubtful pages: skip them, correct them, or take them as they are."""


def import_view(model_admin: ModelAdmin, evidence: EvidenceReader, request: HttpRequest, user: Any) -> HttpResponse:
    """Answer one of three steps, each of which has in its form what it needs: the list, its preview, the import."""
    step = request.POST.get("step", "")
    if not step:
        return _ask(model_admin, request, ListForm(initial={"form": ListForm.RECOGNISE}))
    form = ListForm(request.POST, request.FILES)
    if step == "edit" or not form.is_valid():
        return _ask(model_admin, request, form)
    listed, configured = changes.identities(), configured_identities(configured_pages(request))
    form.parsed.accept({*listed, *configured})
    seen = evidence.of(request)
    preview = lists.sort_out(form.parsed.entries, listed, configured, seen)
    is_import = step in (IMPORT, IMPORT_SUGGESTED, IMPORT_ALL)
    reason = ReasonForm(request.POST if is_import else None)
    wanted = _wanted(step, preview) if form.parsed.is_a_list else []
    if not wanted or not reason.is_valid():
        return _show(model_admin, request, form, preview, reason, seen)
    added = changes.add(wanted, reason.cleaned_data["reason"], user)
    _report(model_admin, request, len(added), step, preview, form.parsed)
    return HttpResponseRedirect(reverse("admin:redaction_redactedpage_changelist"))


def _wanted(step: str, preview: lists.Preview) -> list[Page]:
    """Return what a button of the preview imports."""
    wanted = [entry.page for entry in preview.new]
    if step == IMPORT_SUGGESTED:
        wanted += [item.doubt.suggestion or item.entry.page for item in preview.doubtful]
    elif step == IMPORT_ALL:
        wanted += [item.entry.page for item in preview.doubtful]
    return wanted


def _ask(model_admin: ModelAdmin, request: HttpRequest, form: ListForm) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Import pages",
        "opts": model_admin.opts,
        "adminform": admin_fields(form),
        "errors": form.errors,
        "non_field_errors": form.non_field_errors() if form.is_bound else "",
    }
    return TemplateResponse(request, "admin/redaction/redactedpage/import.html", context)


def _show(
    model_admin: ModelAdmin,
    request: HttpRequest,
    form: ListForm,
    preview: lists.Preview,
    reason: ReasonForm,
    seen: Evidence,
) -> HttpResponse:
    invalid = form.parsed.invalid
    kinds = (
        ("Already on the list", preview.listed),
        ("Already in the configuration file", preview.configured),
        ("Duplicate of an earlier line", preview.repeated),
    )
    data = {name: form.cleaned_data[name] for name in ("text", "form", "default_domain")}
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Import pages: preview",
        "opts": model_admin.opts,
        "format": FORMATS[form.parsed.format],
        "count": len(preview.new),
        "domains": sorted(Counter(entry.page.identity[0] for entry in preview.new).items()),
        "new": _shown(preview.new),
        "invalid_count": len(invalid),
        "invalid": _shown(invalid),
        "is_a_list": form.parsed.is_a_list,
        "valid_count": len(form.parsed.entries),
        "unchecked": "" if seen.events else seen.trouble,
        "evidence_events": f"{seen.events:,}",
        "doubtful_count": len(preview.doubtful),
        "doubtful": _shown(preview.doubtful),
        "all_count": len(preview.new) + len(preview.doubtful),
        "suggested_count": sum(item.doubt.suggestion is not None for item in preview.doubtful),
        "kinds": [(heading, len(entries), *_shown(entries)) for heading, entries in kinds],
        "hidden": [field.as_hidden() for field in ListForm(data) if field.name in data],
        "adminform": admin_fields(reason),
        "errors": reason.errors,
    }
    return TemplateResponse(request, "admin/redaction/redactedpage/import_preview.html", context)


def _shown(entries: list[Any]) -> tuple[list[Any], int]:
    return entries[:SHOWN], max(0, len(entries) - SHOWN)


def _report(
    model_admin: ModelAdmin,
    request: HttpRequest,
    added: int,
    step: str,
    preview: lists.Preview,
    parsed: lists.Parsed,
) -> None:
    text = f"Added {counted(added, 'page', 'pages')}. Matching events are redacted within 3 seconds."
    doubtful = len(preview.doubtful)
    left_out = doubtful if step == IMPORT else 0
    if known := len(parsed.entries) - added - left_out:
        text += f" {counted(known, 'was', 'were')} already listed."
    model_admin.message_user(request, text, messages.SUCCESS)
    if left_out:
        text = f"{counted(left_out, 'doubtful page was', 'doubtful pages were')} not added."
        model_admin.message_user(request, text, messages.WARNING)
    if invalid := len(parsed.invalid):
        text = f"{counted(invalid, 'invalid line was', 'invalid lines were')} skipped."
        model_admin.message_user(request, text, messages.WARNING)


def export_csv() -> HttpResponse:
    """Answer with the list as CSV, in cells that no spreadsheet runs and an import reads back."""
    response = _attachment("text/csv; charset=utf-8", "redacted-pages.csv")
    writer = csv.writer(response)
    writer.writerow(["domain", "title", "reason", "added by", "added at"])
    for page in RedactedPage.objects.select_related("added_by"):
        by = page.added_by.get_username() if page.added_by else ""
        cells = (page.domain, page.title, page.reason, by, page.added_at.isoformat(timespec="seconds"))
        writer.writerow(map(escaped, cells))
    return response


def export_yaml() -> HttpResponse:
    """Answer with the list as the configuration has it, with every text in quotes, so that an import reads it back."""
    by_domain: dict[str, list[str]] = {}
    for domain, title in RedactedPage.objects.values_list("domain", "title"):
        by_domain.setdefault(domain, []).append(title)
    response = _attachment("application/yaml; charset=utf-8", "redacted-pages.yaml")
    response.write(f"{PAGES_KEY}:\n" if by_domain else f"{PAGES_KEY}: {{}}\n")
    for domain, titles in by_domain.items():
        response.write(f"  {_quoted(domain)}:\n")
        response.writelines(f"    - {_quoted(title)}\n" for title in titles)
    return response


def _quoted(text: str) -> str:
    scalar = yaml.ScalarNode("tag:yaml.org,2002:str", text, style='"')
    return yaml.serialize(scalar, Dumper=yaml.SafeDumper, allow_unicode=True, width=10**9).removesuffix("\n")


def _attachment(content_type: str, name: str) -> HttpResponse:
    return HttpResponse(content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
