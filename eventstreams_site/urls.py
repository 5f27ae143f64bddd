"""Routes of everything but the streams, which `routing.py` takes before Django sees them."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path, re_path

from streams.http import views

urlpatterns = [
    path("", views.root),
    path("rc", views.rc),
    path("robots.txt", views.robots),
    path("_info", views.info),
    re_path(r"^_info/(name|version|home)$", views.info),
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("metrics", views.metrics),
    path("admin/", admin.site.urls),
    # Also with DEBUG on, clients are to see what they will see in production.
    re_path("", views.not_found),
]

handler404 = views.not_found
handler500 = views.server_error
