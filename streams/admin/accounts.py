"""Accounts and groups: Django's pages, with fields that everybody can use.

Django's chooser of permissions names its fields in a way that screen readers do not read, and its fields of dates have
no names.
"""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class Accounts(UserAdmin):  # type: ignore[type-arg] # at run time it takes none
    """Accounts; when one was made and last used is shown, and nobody edits it."""

    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")


@admin.register(Group)
class Groups(GroupAdmin):
    """Groups."""

    filter_horizontal = ()
