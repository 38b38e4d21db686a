"""The routes of runs, tasks and streams, under /api/v1/."""

from django.urls import path

from apps.progress.rest.decision_views import TaskDecision
from apps.progress.rest.run_views import JobRunNow, RunCancel, RunDetail, RunEvents, RunList
from apps.progress.rest.stream_views import EventStream, RunStream
from apps.progress.rest.task_views import TaskCancel, TaskDetail, TaskList, TaskOutput, TaskPackage
from apps.progress.rest.trigger_views import BodyDryRun, JobDryRun, JobFirings, JobWhy

urlpatterns = [
    path("runs", RunList.as_view(), name="run-list"),
    path("runs/<str:run_id>", RunDetail.as_view(), name="run-detail"),
    path("runs/<str:run_id>/cancel", RunCancel.as_view(), name="run-cancel"),
    path("runs/<str:run_id>/events", RunEvents.as_view(), name="run-events"),
    path("runs/<str:run_id>/stream", RunStream.as_view(), name="run-stream"),
    path("jobs/<str:job_id>/run-now", JobRunNow.as_view(), name="job-run-now"),
    path("jobs/dry-run", BodyDryRun.as_view(), name="body-dry-run"),
    path("jobs/<str:job_id>/dry-run", JobDryRun.as_view(), name="job-dry-run"),
    path("jobs/<str:job_id>/why", JobWhy.as_view(), name="job-why"),
    path("jobs/<str:job_id>/firings", JobFirings.as_view(), name="job-firings"),
    path("tasks", TaskList.as_view(), name="task-list"),
    path("tasks/<str:task_id>", TaskDetail.as_view(), name="task-detail"),
    path("tasks/<str:task_id>/cancel", TaskCancel.as_view(), name="task-cancel"),
    path("tasks/<str:task_id>/decision", TaskDecision.as_view(), name="task-decision"),
    path("tasks/<str:task_id>/output", TaskOutput.as_view(), name="task-output"),
    path("tasks/<str:task_id>/package", TaskPackage.as_view(), name="task-package"),
    path("events/stream", EventStream.as_view(), name="event-stream"),
]
