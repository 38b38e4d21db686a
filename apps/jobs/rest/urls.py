"""The routes of jobs, under /api/v1/, and the one the seeds name, under /."""

from django.urls import path

from apps.jobs.rest.views import (
    JobAlias,
    JobDetail,
    JobEstimate,
    JobList,
    JobPause,
    JobPreview,
    JobResume,
    SchedulePreview,
)

urlpatterns = [
    path("jobs", JobList.as_view(), name="job-list"),
    path("jobs/preview", SchedulePreview.as_view(), name="schedule-preview"),
    path("jobs/estimate", JobEstimate.as_view(), name="job-estimate"),
    path("jobs/<str:job_id>", JobDetail.as_view(), name="job-detail"),
    path("jobs/<str:job_id>/pause", JobPause.as_view(), name="job-pause"),
    path("jobs/<str:job_id>/resume", JobResume.as_view(), name="job-resume"),
    path("jobs/<str:job_id>/preview", JobPreview.as_view(), name="job-preview"),
]

alias_urlpatterns = [
    path("api/jobs", JobAlias.as_view(), name="job-list-alias"),
]
