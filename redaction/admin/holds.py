"""The admin's page about a held list: which pages, why, and the two decisions, each with a reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from redaction.admin.configured import warning_of_too_few
from redaction.admin.forms import ReasonForm
from redaction.listed import holds
from redaction.models import Hold, RedactedPage
from streams.admin.fields import admin_fields
from streams.admin.texts import counted

if TYPE_CHECKING:
    HoldsAdmin = admin.ModelAdmin[Hold]
else:
    HoldsAdmin = admin.ModelAdmin  # not generic when it runs


@admin.register(Hold)
class HoldAdmin(HoldsAdmin):
    """One page without rows, on which an admin applies the list or puts the pages back."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: server processes write holds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Hold | None = None) -> bool:
        """Refuse: a hold is decided, not edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Hold | None = None) -> bool:
        """Refuse: a hold is decided, not deleted."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Hold | None = None) -> bool:
        """Return whether the user may see the list, or decide."""
        return request.user.has_perm("redaction.view_redactedpage") or self._may_decide(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may see the page."""
        return self.has_view_permission(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show what is held, or carry out a decision."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = ReasonForm(request.POST or None)
        if request.method == "POST":
            if not self._may_decide(request):
                raise PermissionDenied
            if form.is_valid():
                return self._decide(request, form.cleaned_data["reason"])
        held = holds.held()
        context = {
            **self.admin_site.each_context(request),
            "title": "Held redaction lists",
            "opts": self.opts,
            "held": held,
            "numbers": ",".join(str(hold.pk) for hold, _ in held),
            "may_decide": self._may_decide(request),
            "too_few": warning_of_too_few(request, RedactedPage.objects.count()),
            "adminform": admin_fields(form),
            "errors": form.errors,
        }
        return TemplateResponse(request, "admin/redaction/hold/change_list.html", context)

    def _decide(self, request: HttpRequest, reason: str) -> HttpResponse:
        """Carry out a decision about the holds that the page showed, and no others."""
        numbers = {int(number) for number in re.findall(r"\b\d{1,18}\b", request.POST.get("holds", ""))}
        user: Any = request.user
        if "apply" in request.POST:
            count = holds.apply(numbers, reason, user)
            what = counted(count, "page is", "pages are")
            text = f"Applied: {what} no longer redacted, in any process within 3 seconds."
        else:
            count = holds.put_back(numbers, reason, user)
            text = f"Put back: {counted(count, 'page is', 'pages are')} on the list again."
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:redaction_hold_changelist"))

    @staticmethod
    def _may_decide(request: HttpRequest) -> bool:
        return request.user.has_perm("redaction.apply_hold")
