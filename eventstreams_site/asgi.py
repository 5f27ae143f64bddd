"""For plain ASGI servers (`daphne eventstreams_site.asgi:application`). `manage.py serve` does not come this way."""

from __future__ import annotations

import logging
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "eventstreams_site.settings")
django.setup()  # before anything imports a model

from eventstreams_site.config.config import load_config  # noqa: E402
from eventstreams_site.process import Process  # noqa: E402
from eventstreams_site.routing import application_of  # noqa: E402

application = application_of(Process(load_config(os.environ)).service)

logging.getLogger(__name__).warning(
    "This ASGI server gives no backpressure: a client that reads slowly costs the memory of all that it is sent, "
    "and streams are not ended cleanly at a stop. Use `manage.py serve` in production."
)
