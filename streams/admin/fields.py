"""Fields of a form, as Django's admin lays them out."""

from __future__ import annotations

from django.contrib.admin.helpers import AdminForm
from django.forms import BaseForm


def admin_fields(form: BaseForm) -> AdminForm:
    """Return all visible fields in one fieldset."""
    names = [field.name for field in form.visible_fields()]
    return AdminForm(form, [(None, {"fields": names})], {})  # type: ignore[arg-type]  # any form will do
