"""Every route: the API under /api/v1/, its documented aliases, health, and the operator's pages.

An app's `rest/urls.py` has `urlpatterns` (mounted at /api/v1/) and may have `alias_urlpatterns`
(mounted at /).
"""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from apps.content.rest import urls as content_urls
from apps.gateway.rest import urls as gateway_urls
from apps.jobs.rest import urls as jobs_urls
from apps.keepers.rest import urls as keepers_urls
from apps.notices.rest import urls as notices_urls
from apps.progress.pages import urls as page_urls
from apps.progress.rest import urls as progress_urls
from apps.rollback.rest import urls as rollback_urls
from apps.storage.rest import urls as storage_urls
from apps.vault.rest import urls as vault_urls
from project.health import healthz, readyz
from project.login import Login, admin_login
from project.metrics_view import metrics
from project.problems import api_root, problem_page

handler400 = "project.errors.bad_request"
handler403 = "project.errors.forbidden"
handler404 = "project.errors.not_found"
handler500 = "project.errors.server_error"

_api: list[URLPattern | URLResolver] = [
    *gateway_urls.urlpatterns,
    *progress_urls.urlpatterns,
    *jobs_urls.urlpatterns,
    *keepers_urls.urlpatterns,
    *content_urls.urlpatterns,
    *rollback_urls.urlpatterns,
    *storage_urls.urlpatterns,
    *vault_urls.urlpatterns,
    *notices_urls.urlpatterns,
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", api_root),
    path("api/v1/", include(_api)),
    path("runs", RedirectView.as_view(url="/", query_string=True)),
    path("runs/", RedirectView.as_view(url="/", query_string=True)),
    path("jobs/", RedirectView.as_view(url="/jobs", query_string=True)),
    path("keepers/", RedirectView.as_view(url="/keepers", query_string=True)),
    path("favicon.ico", RedirectView.as_view(url="/static/img/favicon.svg")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs",
        SpectacularSwaggerView.as_view(url_name="schema", template_name="api_docs.html"),
        name="docs",
    ),
    path("problems/<str:code>", problem_page, name="problem"),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("login", Login.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("admin/login/", admin_login),
    path("admin/", admin.site.urls),
    *page_urls.urlpatterns,
    *jobs_urls.alias_urlpatterns,
    *keepers_urls.alias_urlpatterns,
]
