"""`manage.py load_examples`: everything stored, every job created, again nothing."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.services import project_update
from apps.content.domain.cid import cid_of
from apps.content.selectors import get_store
from apps.jobs.data import compute_depths
from apps.jobs.management.commands import load_examples
from apps.jobs.models import Job
from apps.jobs.selectors import get_definition
from apps.jobs.services import job_delete
from apps.kernel.speculation import Choice, Mode
from project.embedded.seed import examples_load
from tests.factories.accounts import make_project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("deployment", "quiet_chain")]

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = {
    "Price guard",
    "Price report",
    "Heat alarm",
    "Heat alarm on a winter day",
    "Pipeline",
    "Chain, speculation off",
    "Chain, speculation on",
    "Diamond, speculation off",
    "Diamond, speculation on",
    "Fire drill",
}


@pytest.fixture
def project(project):
    """A project that takes the drill."""
    return project_update(project_id=project.id, allows_drills=True)


@pytest.fixture
def quiet_chain(monkeypatch):
    monkeypatch.setattr(load_examples, "get_gas_price_wei", lambda: 1_000_000_000)


def find(name: str) -> Any:
    """The job of this name."""
    return Job.objects.get(name=name)


def load(*options, **streams):
    out = StringIO()
    call_command("load_examples", *options, "--json", stdout=out, **streams)
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


@pytest.mark.parametrize(("name", "steps", "depth"), [("Chain", 10, 9), ("Diamond", 6, 2)])
def test_chain_and_diamond_are_there_twice_and_differ_in_speculation_only(project, name, steps, depth):
    load()
    off, on = find(f"{name}, speculation off"), find(f"{name}, speculation on")
    assert off.speculation_choice == Choice(is_enabled=False)
    assert on.speculation_choice == Choice(is_enabled=True, mode=Mode.CUSTOM, max_depth=20, max_branches=8)
    assert off.definition_hash == on.definition_hash
    depths = compute_depths(get_definition(on).steps)
    assert (len(depths), max(depths.values())) == (steps, depth)


def test_the_first_proof_of_the_drill_is_the_one_that_is_rejected(project):
    load()
    drill = find("Fire drill")
    assert [drill.get_drill(step) for step in ("wet_days", "wet_spells", "report")] == [1, 0, 0]


def test_a_project_that_allows_no_drills_gets_everything_else_and_is_told(db):
    make_project()
    said = StringIO()
    assert {line["name"] for line in load(stderr=said)} == NAMES - {"Fire drill"}
    assert "Fire drill" in said.getvalue()
    assert "allows no drills" in said.getvalue()


def test_with_several_projects_one_has_to_be_named(project):
    make_project()
    with pytest.raises(CommandError, match="--project"):
        load()
    assert len(load("--project", project.slug)) == len(NAMES)


def test_without_a_project_or_with_a_bad_example_the_command_says_so(db, tmp_path):
    with pytest.raises(CommandError, match="no project"):
        load()
    make_project()
    (tmp_path / "bad").mkdir()
    bad = {"name": "bad", "trigger_kind": "manual", "script": {"cid": "${script:gone.py}"}}
    (tmp_path / "bad" / "job.json").write_text(json.dumps(bad))
    with pytest.raises(CommandError, match=r"gone\.py"):
        load("--folder", str(tmp_path))


def test_a_start_loads_them_into_its_own_project_among_several(project, deployment):
    make_project()
    said: list[str] = []
    examples_load(project, said.append)
    assert said == []
    assert {job.name for job in Job.objects.filter(project=project)} == NAMES
    assert Job.objects.count() == len(NAMES)


def test_examples_that_cannot_be_loaded_do_not_stop_a_start(project, monkeypatch):
    def broken():
        raise OSError("the chain is away")

    monkeypatch.setattr(load_examples, "get_gas_price_wei", broken)
    said: list[str] = []
    examples_load(project, said.append)
    assert said == ["the example jobs could not be loaded: the chain is away"]
