"""django-eventstream as its documentation sets it up, for a benchmark: GET /stream, and POST /publish sends to it.

Runs in its own virtual environment (`make peers`), so nothing else of this project is imported.
"""

from __future__ import annotations

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

CHANNEL = "events"

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="for-benchmarks-only",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django_eventstream"],
    LOGGING_CONFIG=None,
)
django.setup()

from django_eventstream import send_event  # noqa: E402 (it needs the settings)


async def ready(_request: HttpRequest) -> HttpResponse:
    """Answer once the server is up."""
    return HttpResponse()


async def publish(request: HttpRequest) -> HttpResponse:
    """Send the body as an event to all clients."""
    send_event(CHANNEL, "message", request.body.decode(), json_encode=False)
    return HttpResponse(headers={"Content-Length": "0"})


urlpatterns = [
    path("ready", ready),
    path("publish", publish),
    path("stream", include("django_eventstream.urls"), {"channels": [CHANNEL]}),
]
application = get_asgi_application()
