"""Runs that failed, and how the tests of the REST doors ask about them."""

from typing import Any, Final

from django.conf import settings
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.eventlog.selectors import get_database_now
from apps.rollback.models import DeadLetter
from apps.rollback.services import rollbacks_apply
from apps.tasks.data import FailureReason
from apps.tasks.models import Task
from tests.factories.ahead import Ahead, make_ahead
from tests.factories.jobs import SCRIPT

BONDS: Final = {"a": 1_000_000, "b": 2_000_000, "c": 4_000_000}


def apply() -> None:
    rollbacks_apply(now=get_database_now(), limit=100)


def make_cascade(project: Project, **options: Any) -> Ahead:
    """A chain whose first proof was rejected while the others stood on it; it is tried again."""
    run = make_ahead(
        {"a": "submitted", "b": "waiting_ancestors", "c": "executing"},
        bonds=BONDS,
        project=project,
        **options,
    )
    run.signal("a", FailureReason.PROOF_REJECTED, detail="pairing")
    apply()
    return run.reload()


def fail_for_good(
    run: Ahead, step: str, reason: FailureReason = FailureReason.EXECUTION_FAILED
) -> DeadLetter:
    """The step's last attempt fails."""
    most = settings.FOREKEEP.execution.max_attempts
    Task.objects.filter(pk=run.tasks[step].pk).update(failures=most - 1)
    run.signal(step, reason, code="script_failed", detail="exit code 1")
    apply()
    run.reload()
    return DeadLetter.objects.filter(task=run.tasks[step]).latest("pk")


def make_failed(project: Project, **options: Any) -> tuple[Ahead, DeadLetter]:
    """A run that failed for good in its first step."""
    run = make_ahead({"a": "executing", "b": "discovered"}, project=project, **options)
    return run, fail_for_good(run, "a")


def client_of(secret: str) -> APIClient:
    client = APIClient()
    client.default_format = "json"
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def read(client: APIClient, path: str) -> Any:
    response = client.get(f"/api/v1{path}")
    assert response.status_code == 200, response.content
    return response.json()


def ids(client: APIClient, path: str) -> list[str]:
    return [row["id"] for row in read(client, path)["data"]]


def refusal(response: Any) -> tuple[int, str]:
    assert response.headers["Content-Type"].startswith("application/problem+json")
    assert response.json()["status"] == response.status_code
    return response.status_code, response.json()["code"]


def apart(*keys: str) -> list[dict[str, Any]]:
    """Steps that do not depend on each other."""
    return [{"key": key, "script_source": SCRIPT} for key in keys]
