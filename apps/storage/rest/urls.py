"""The routes of what jobs keep, under /api/v1/."""

from django.urls import path

from apps.storage.rest.views import StorageDetail, StorageList

urlpatterns = [
    path("jobs/<str:job_id>/storage", StorageList.as_view(), name="job-storage"),
    path("jobs/<str:job_id>/storage/<str:key>", StorageDetail.as_view(), name="job-stored-value"),
]
