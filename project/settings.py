"""Django's settings, built from the typed tree of `project/env.py`.

Nothing here reads the environment itself. `FOREKEEP` is the tree; everything else is what Django and
its apps want to be told.
"""

import os
from typing import Any
from urllib.parse import urlsplit

from django.templatetags.static import static

from apps.attestation.data import ItemVerdict
from apps.execution.data import AssignmentStatus
from apps.jobs.data import EdgeKind, JobStatus
from apps.speculation.domain.decision import Verdict
from apps.tasks.data import RunStatus, TaskStatus
from project.databases import database_settings
from project.env import REPOSITORY, read_settings
from project.logging import logging_settings

FOREKEEP = read_settings(os.environ)
FOREKEEP.home.mkdir(mode=0o700, parents=True, exist_ok=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(FOREKEEP.home / "metrics")
(FOREKEEP.home / "metrics").mkdir(mode=0o700, exist_ok=True)

BASE_DIR = REPOSITORY
SECRET_KEY = FOREKEEP.web.secret_key
SECRET_KEY_FALLBACKS = list(FOREKEEP.web.secret_key_fallbacks)
DEBUG = FOREKEEP.web.is_debug
ALLOWED_HOSTS = list(FOREKEEP.web.allowed_hosts)
CSRF_TRUSTED_ORIGINS = [FOREKEEP.web.url]
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["project.formats"]
APPEND_SLASH = False
LOGGING = logging_settings(FOREKEEP.telemetry.log_level)

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "project.apps.ProjectConfig",
    "apps.eventlog",
    "apps.accounts",
    "apps.ledger",
    "apps.gateway",
    "apps.egress",
    "apps.vault",
    "apps.triggers",
    "apps.jobs",
    "apps.keepers",
    "apps.chains",
    "apps.content",
    "apps.watching",
    "apps.storage",
    "apps.tasks",
    "apps.speculation",
    "apps.execution",
    "apps.attestation",
    "apps.proofs",
    "apps.settlement",
    "apps.rollback",
    "apps.notices",
    "apps.progress",
]

MIDDLEWARE = [
    "project.middleware.TraceMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "apps.progress.pages.policy.ContentSecurityPolicy",
    "project.static_files.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [REPOSITORY / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": database_settings(FOREKEEP.database)}

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": FOREKEEP.broker.redis_url,
        "KEY_PREFIX": "forekeep",
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"

_IS_HTTPS = urlsplit(FOREKEEP.web.url).scheme == "https"
SESSION_COOKIE_SECURE = _IS_HTTPS
CSRF_COOKIE_SECURE = _IS_HTTPS
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "project.errors.csrf_failure"
DATA_UPLOAD_MAX_MEMORY_SIZE = FOREKEEP.web.body_max_bytes

STATIC_URL = "/static/"
STATIC_ROOT = REPOSITORY / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [folder for folder in (REPOSITORY / "assets",) if folder.is_dir()]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.gateway.rest.authentication.ApiKeyAuthentication",
        "apps.gateway.rest.authentication.SessionCaller",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.gateway.rest.permissions.OperatorOnly"],
    "DEFAULT_THROTTLE_CLASSES": ["apps.gateway.rest.throttles.KeyThrottle"],
    "DEFAULT_PAGINATION_CLASS": "apps.gateway.rest.pages.CursorPages",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.gateway.rest.parsers.JsonBody"],
    "DEFAULT_SCHEMA_CLASS": "apps.gateway.rest.schema.GatewaySchema",
    "EXCEPTION_HANDLER": "project.errors.problem_response",
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "iso-8601",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Forekeep",
    "DESCRIPTION": "Jobs fire, keepers execute, attesters re-check, a chain keeps the score.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.gateway.rest.schema.add_examples",
        "apps.gateway.rest.schema.add_problems",
    ],
    "SERVE_PUBLIC": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": [(str(status), str(status)) for status in JobStatus],
        "RunStatus": [(str(status), str(status)) for status in RunStatus],
        "TaskStatus": [(str(status), str(status)) for status in TaskStatus],
        "EdgeKind": [(str(kind), str(kind)) for kind in EdgeKind],
        "AssignmentStatus": [(str(status), str(status)) for status in AssignmentStatus],
        "ItemVerdict": [(str(verdict), str(verdict)) for verdict in ItemVerdict],
        "Verdict": [(str(verdict), str(verdict)) for verdict in Verdict],
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

KEEPER_PORTS = "project.keeper_ports.ChainKeeperPorts"

CELERY_BEAT_SCHEDULER = "scheduling.ticks:Clock"
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True

UNFOLD = {
    "SITE_TITLE": "Forekeep",
    "SITE_HEADER": "Forekeep",
    "SITE_SYMBOL": "speed",
    "SHOW_HISTORY": False,
    "SITE_URL": "/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/favicon.svg")},
    ],
    "STYLES": [lambda request: static("css/admin.css")],
    "DASHBOARD_CALLBACK": "apps.progress.dashboard.fill",
}
