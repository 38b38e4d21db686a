"""`manage.py load_examples`: everything stored, every job created, again nothing."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.content.domain.cid import cid_of
from apps.content.selectors import get_store
from apps.jobs.management.commands import load_examples
from apps.jobs.models import Job
from apps.jobs.services import job_delete
from tests.factories.accounts import make_project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("deployment", "quiet_chain")]

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = {"Price report", "Heat alarm", "Heat alarm on a winter day", "Pipeline"}


@pytest.fixture
def quiet_chain(monkeypatch):
    monkeypatch.setattr(load_examples, "get_gas_price_wei", lambda: 1_000_000_000)


def find(name: str) -> Any:
    """The job of this name."""
    return Job.objects.get(name=name)


def load(*options):
    out = StringIO()
    call_command("load_examples", *options, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_example_jobs_are_created_with_their_content(project, deployment):
    assert {line["name"] for line in load()} == NAMES
    report = find("Price report")
    step = report.definition["steps"][4]
    assert (len(report.definition["steps"]), step["params"]["symbol"]) == (5, "MSFT")
    assert step["action"]["target"] == deployment["price_board"]
    assert step["inputs"]["stocks.csv"] == cid_of((EXAMPLES / "data" / "stocks.csv").read_bytes())
    for cid in (step["script"]["cid"], step["inputs"]["stocks.csv"]):
        assert get_store().get(cid)
    assert report.next_fire_at is not None
    assert report.estimated_cost_units > 0


def test_loading_again_creates_nothing_and_a_deleted_job_comes_back(project):
    first = load()
    again = load()
    assert [line["id"] for line in again] == [line["id"] for line in first]
    assert not any(line["created"] for line in again)
    job_delete(job_id=Job.objects.get(name="Pipeline").id)
    assert [line["name"] for line in load() if line["created"]] == ["Pipeline"]


def test_for_a_demo_scheduled_jobs_fire_once(project):
    load("--once", "--soon-seconds", "2")
    report = find("Price report")
    assert not report.recurring
    assert (report.next_fire_at - report.created_at).total_seconds() <= 2


def test_the_pipeline_waits_step_by_step(project):
    load()
    steps = Job.objects.get(name="Pipeline").definition["steps"]
    assert [(step["key"], [parent["step"] for parent in step["parents"]]) for step in steps] == [
        ("load", []),
        ("clean", ["load"]),
        ("aggregate", ["clean"]),
        ("publish", ["aggregate"]),
    ]


def test_with_several_projects_one_has_to_be_named(project):
    make_project()
    with pytest.raises(CommandError, match="--project"):
        load()
    assert len(load("--project", project.slug)) == 4


def test_without_a_project_or_with_a_bad_example_the_command_says_so(db, tmp_path):
    with pytest.raises(CommandError, match="no project"):
        load()
    make_project()
    (tmp_path / "bad").mkdir()
    bad = {"name": "bad", "trigger_kind": "manual", "script": {"cid": "${script:gone.py}"}}
    (tmp_path / "bad" / "job.json").write_text(json.dumps(bad))
    with pytest.raises(CommandError, match=r"gone\.py"):
        load("--folder", str(tmp_path))
