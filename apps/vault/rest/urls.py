"""The routes of secrets, under /api/v1/."""

from django.urls import path

from apps.vault.rest.views import SecretDetail, SecretList

urlpatterns = [
    path("secrets", SecretList.as_view(), name="secret-list"),
    path("secrets/<str:name>", SecretDetail.as_view(), name="secret-detail"),
]
