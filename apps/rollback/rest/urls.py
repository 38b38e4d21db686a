"""The routes of rollbacks, dead letters and what a stop would do, under /api/v1/."""

from django.urls import path

from apps.rollback.rest.views import (
    DeadLetterDetail,
    DeadLetterList,
    DeadLetterReplay,
    DeadLettersReplay,
    RollbackDetail,
    RollbackFigures,
    RollbackList,
    RunCancelPreview,
    TaskCancelPreview,
)

urlpatterns = [
    path("rollbacks", RollbackList.as_view(), name="rollback-list"),
    path("rollbacks/figures", RollbackFigures.as_view(), name="rollback-figures"),
    path("rollbacks/<str:rollback_id>", RollbackDetail.as_view(), name="rollback-detail"),
    path("dead-letters", DeadLetterList.as_view(), name="dead-letter-list"),
    path("dead-letters/replay", DeadLettersReplay.as_view(), name="dead-letters-replay"),
    path("dead-letters/<str:letter_id>", DeadLetterDetail.as_view(), name="dead-letter-detail"),
    path("dead-letters/<str:letter_id>/replay", DeadLetterReplay.as_view(), name="dead-letter-replay"),
    path("runs/<str:run_id>/cancel-preview", RunCancelPreview.as_view(), name="run-cancel-preview"),
    path("tasks/<str:task_id>/cancel-preview", TaskCancelPreview.as_view(), name="task-cancel-preview"),
]
