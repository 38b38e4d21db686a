"""A source on loopback that may be asked, and jobs that read it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from apps.accounts.models import Project
from apps.egress.client import EgressClient
from apps.egress.terms import limits_from_settings
from apps.jobs.models import Job
from tests.factories.accounts import make_project
from tests.factories.jobs import make_job
from tests.support.saying import Saying, saying
from workers.poller.polling import Poller

MakeCondition = Callable[..., Job]


@pytest.fixture
def source(settings: Any) -> Iterator[Saying]:
    """A source that the allow-list opens."""
    egress = replace(settings.FOREKEEP.egress, allow=("127.0.0.0/8",), timeout_seconds=2.0)
    settings.FOREKEEP = replace(settings.FOREKEEP, egress=egress)
    with saying() as said:
        yield said


@pytest.fixture
def project() -> Project:
    """The project of all jobs of a test."""
    return make_project()


@pytest.fixture
def watch(project: Project) -> MakeCondition:
    """A job that fires for nothing when its condition is met: `watch(url, limit)`, or a whole condition."""

    def make(url: str = "", limit: str = "100", **fields: Any) -> Job:
        condition = fields.pop("condition", None) or {
            "sources": {"price": {"kind": "http", "url": url}},
            "when": {"route": "data.price", "is": "greater_than", "value": limit, **fields.pop("leaf", {})},
            **fields.pop("fires", {}),
        }
        job: Job = make_job(project=project, trigger_kind="condition", condition=condition, **fields)
        Job.objects.filter(pk=job.pk).update(estimated_cost_units=0)
        return job

    return make


@pytest.fixture
def poll() -> Callable[[], int]:
    """One round over all sources; how often somebody was told to open something."""

    def act() -> int:
        told: list[bool] = []

        async def around() -> None:
            async with EgressClient(limits_from_settings()) as client:
                await Poller(client, lambda: told.append(True)).run_once(3.0)

        asyncio.run(around())
        return len(told)

    return act
