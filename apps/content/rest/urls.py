"""The routes of contents, under /api/v1/."""

from django.urls import path

from apps.content.rest.views import ContentDetail, ContentUpload

urlpatterns = [
    path("content", ContentUpload.as_view(), name="content-upload"),
    path("content/<str:cid>", ContentDetail.as_view(), name="content-detail"),
]
