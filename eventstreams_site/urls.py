"""Routes of everything but the streams, which `routing.py` takes before Django sees them."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path, re_path
from django.views.generic import RedirectView

from streams.http import documentation, ui, views

admin.site.site_header = admin.site.site_title = "EventStreams"
admin.site.index_title = "Administration"
admin.site.enable_nav_sidebar = False  # there is little to go to, and tables want the room

urlpatterns = [
    path("", documentation.root),
    path("schema/", documentation.spec),
    path("rc", views.rc),
    path("robots.txt", views.robots),
    path("_info", views.info),
    re_path(r"^_info/(name|version|home)$", views.info),
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("metrics", views.metrics),
    path("v2/ui", ui.page),
    path("v2/ui/", ui.page),
    path("v2/ui/streams.json", ui.streams),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    # Also with DEBUG on, clients are to see what they will see in production.
    re_path("", views.not_found),
]

handler404 = views.not_found
handler500 = views.server_error
