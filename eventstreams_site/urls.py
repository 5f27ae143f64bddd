"""Django's routes: the admin. All public routes are in `streams/http/public.py`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from eventstreams_site.gate import errors
from streams.admin import status

admin.site.site_header = admin.site.site_title = "EventStreams"
admin.site.index_title = "Administration"
admin.site.enable_nav_sidebar = False  # there is little to go to, and tables want the room

urlpatterns = [
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/status/", admin.site.admin_view(status.status_page), name="status"),
    path("admin/status.json", status.status_json, name="status_json"),
    path("admin/", admin.site.urls),
]

handler404 = errors.not_found
handler500 = errors.server_error
