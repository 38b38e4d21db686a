"""The routes of the pages, under /."""

from django.urls import path

from apps.progress.pages.failures import DeadLettersPage, ReplayPage, RollbackPage, RollbacksPage
from apps.progress.pages.job_form import JobEditPage, JobNewPage, JobPreviewPage
from apps.progress.pages.jobs import JobActionPage, JobPage, JobsPage
from apps.progress.pages.keepers import KeepersPage
from apps.progress.pages.runs import RunAgainPage, RunCancelPage, RunPage, RunsPage

urlpatterns = [
    path("", RunsPage.as_view(), name="runs-page"),
    path("runs/<str:run_id>", RunPage.as_view(), name="run-page"),
    path("runs/<str:run_id>/cancel", RunCancelPage.as_view(), name="run-cancel-page"),
    path("runs/<str:run_id>/again", RunAgainPage.as_view(), name="run-again-page"),
    path("jobs", JobsPage.as_view(), name="jobs-page"),
    path("jobs/new", JobNewPage.as_view(), name="job-new-page"),
    path("jobs/preview", JobPreviewPage.as_view(), name="job-preview-page"),
    path("jobs/<str:job_id>/edit", JobEditPage.as_view(), name="job-edit-page"),
    path("jobs/<str:job_id>", JobPage.as_view(), name="job-page"),
    path("jobs/<str:job_id>/<str:action>", JobActionPage.as_view(), name="job-action-page"),
    path("keepers", KeepersPage.as_view(), name="keepers-page"),
    path("rollbacks", RollbacksPage.as_view(), name="rollbacks-page"),
    path("rollbacks/<str:rollback_id>", RollbackPage.as_view(), name="rollback-page"),
    path("dead-letters", DeadLettersPage.as_view(), name="dead-letters-page"),
    path("dead-letters/<str:letter_id>/replay", ReplayPage.as_view(), name="dead-letter-replay-page"),
]
