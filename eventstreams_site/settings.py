"""Django's settings, from environment variables.

They are DJANGO_SECRET_KEY, DJANGO_DEBUG, DJANGO_ALLOWED_HOSTS, DATABASE_URL and DJANGO_LOG_LEVEL. The service reads its
own configuration (`eventstreams_site.config`) when it starts, so commands such as `manage.py migrate` need none.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from eventstreams_site.logs.configuration import configuration, level_of

BASE_DIR = Path(__file__).resolve().parent.parent


def _flag(name: str) -> bool:
    text = os.environ.get(name, "").strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"", "0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {text!r}; expected true or false")


def _secret_key() -> str:
    key = os.environ.get("DJANGO_SECRET_KEY", "")
    if key:
        return key
    if DEBUG:
        return "django-insecure-development-only-never-use-it-where-others-can-reach-the-server"
    raise ImproperlyConfigured(
        "DJANGO_SECRET_KEY is not set. Make one with `python -c 'import secrets; print(secrets.token_urlsafe(64))'` "
        "and keep it: all processes need the same one. (For development, DJANGO_DEBUG=true does without.)"
    )


def _allowed_hosts() -> list[str]:
    hosts = [host.strip() for host in os.environ.get("DJANGO_ALLOWED_HOSTS", "").split(",") if host.strip()]
    if wrong := [host for host in hosts if re.fullmatch(r"\*|\.?[\w.-]+|\[[0-9a-fA-F:.]+\]", host) is None]:
        raise ImproperlyConfigured(
            f"DJANGO_ALLOWED_HOSTS has {wrong[0]!r}; expected names such as example.org or .example.org, separated by "
            "commas, without scheme, port and path"
        )
    if hosts:
        return hosts
    # Only the admin checks the Host header; public routes accept any name.
    return ["localhost", "127.0.0.1", "[::1]"] if DEBUG else ["*"]


_DATABASE_OPTIONS: dict[str, dict[str, Any]] = {
    # Readers do not wait for writers, and a writer waits for another instead of failing.
    "django.db.backends.sqlite3": {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"},
    # Each process queries every second: it must notice within seconds that the database does not answer.
    "django.db.backends.postgresql": {"connect_timeout": 5, "tcp_user_timeout": 10_000},
}


def _database() -> dict[str, Any]:
    url = os.environ.get("DATABASE_URL")
    if not url:
        folder = BASE_DIR / ".local"
        with contextlib.suppress(OSError):  # SQLite reports what is wrong when it is first used
            folder.mkdir(exist_ok=True)
        url = "sqlite:///" + quote(str(folder / "eventstreams.sqlite3"))
    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url))
    except ValueError:
        database = {"ENGINE": ""}
    if database["ENGINE"] not in _DATABASE_OPTIONS:
        # Neither the URL nor the parser's message: they may have the password.
        raise ImproperlyConfigured(
            "DATABASE_URL is not a database URL; expected one such as postgres://user:password@host:5432/name or "
            "sqlite:////absolute/path, with special characters in the password percent-encoded"
        )
    # A URL may set any of these itself (?connect_timeout=...).
    database["OPTIONS"] = {**_DATABASE_OPTIONS[database["ENGINE"]], **database.get("OPTIONS", {})}
    return database


def _logging() -> dict[str, Any]:
    try:
        return configuration(level_of(os.environ))
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None


DEBUG = _flag("DJANGO_DEBUG")
SECRET_KEY = _secret_key()
ALLOWED_HOSTS = _allowed_hosts()
# Further names of the site; `SameHostOrigin` has the rule for proxies that end TLS.
CSRF_TRUSTED_ORIGINS = [f"https://{'*' if host.startswith('.') else ''}{host}" for host in ALLOWED_HOSTS if host != "*"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "streams",
    "redaction",
]

MIDDLEWARE = [
    "eventstreams_site.below_prefix.cookies_below_prefix",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "eventstreams_site.middleware.SameHostOrigin",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "eventstreams_site.urls"
ASGI_APPLICATION = "eventstreams_site.asgi.application"
APPEND_SLASH = False  # the contract says which paths there are; every other one is a 404

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Failed logins of one user name from one address lock this pair for a while: nobody can lock out somebody else.
# eventstreams_site/gate/address_throttle.py stops an address that tries many names.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_CALLABLE = "eventstreams_site.gate.name_lockout.username"
AXES_CLIENT_IP_CALLABLE = "eventstreams_site.gate.name_lockout.client_address"
AXES_LOCKOUT_CALLABLE = "eventstreams_site.gate.name_lockout.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # it would grow without end
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# The public views know no users: without this, each request would look for a session.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.1",
    # The list of streams is the first parameter: third parties read the names of all streams there (wire contract).
    "SORT_OPERATION_PARAMETERS": False,
}

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "eventstreams_site.below_prefix.StaticFilesBelowPrefix"},
}

SESSION_COOKIE_AGE = 12 * 3600  # seconds: staff log in once a working day
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
X_FRAME_OPTIONS = "SAMEORIGIN"  # the wire contract's value

# What `manage.py check --deploy` would say, and why it does not apply.
SILENCED_SYSTEM_CHECKS = [
    "security.W003",  # SameHostOrigin is Django's middleware against forged forms, with a rule for proxies
    "security.W004",  # the proxy that ends TLS sends Strict-Transport-Security, for all that it serves
    "security.W008",  # and redirects to https; behind it there is http only
    "security.W019",  # the wire contract's SAMEORIGIN: pages of the admin are shown in frames of this site
]

LOGGING = _logging()
