"""/metrics: what stages say they did is counted, what rows know is read at the scrape."""

import re
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client

from apps.accounts.models import Project
from apps.tasks.data import UNFINISHED
from project.metrics import FIGURES, figures_count, metrics_text
from project.metrics_rows import RowGauges
from tests.factories.accounts import make_staff
from tests.factories.running_ahead import make_story

pytestmark = pytest.mark.django_db


def values_of(text: str) -> dict[str, float]:
    """Sample (with its labels) → value."""
    found = re.findall(r"^(forekeep_\S+?(?:{[^}]*})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def scrape() -> dict[str, float]:
    return values_of(metrics_text().decode())


def test_what_a_pass_says_it_did_is_counted():
    before = scrape()

    figures_count([("speculation_started", 2), ("stake_bonded_units", 3_000_000), ("proofs_deferred", 1)])
    figures_count([("speculation_depth", 2), ("speculation_depth", 7), ("proofs_deferred", 1)])

    after = scrape()

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grown("forekeep_speculation_started_total") == 2
    assert grown("forekeep_stake_bonded_units_total") == 3_000_000
    assert grown('forekeep_proofs_total{outcome="deferred"}') == 2
    assert grown('forekeep_speculation_depth_bucket{le="5.0"}') == 1
    assert grown("forekeep_speculation_depth_count") == 2


def test_every_figure_that_is_listed_can_be_counted_and_no_other():
    figures_count((name, 1) for name in FIGURES)

    with pytest.raises(KeyError):
        figures_count([("moon_phase", 1)])


def test_the_rows_gauges_are_read_at_the_scrape(project: Project):
    story = make_story(project=project)
    story.put("load", "proved")
    story.put("clean", "executing")
    client = Client()
    client.force_login(make_staff())

    shown = values_of(client.get("/metrics").content.decode())
    story.fail("load", is_last=True)
    later = values_of(client.get("/metrics").content.decode())

    assert shown['forekeep_tasks{status="executing"}'] == 1
    assert {name for name in shown if name.startswith("forekeep_tasks{")} == {
        f'forekeep_tasks{{status="{status}"}}' for status in UNFINISHED
    }
    assert (shown["forekeep_stake_at_risk_units"], shown["forekeep_commitments_open"]) == (3_000_000, 2)
    assert (shown["forekeep_proofs_unfinished"], shown["forekeep_dead_letters_waiting"]) == (1, 0)
    assert (later["forekeep_stake_at_risk_units"], later["forekeep_dead_letters_waiting"]) == (0, 1)
    assert later['forekeep_tasks{status="executing"}'] == 0


def test_a_database_that_is_away_hides_the_gauges_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr("project.metrics_rows.get_units_at_risk", refuse)

    text = metrics_text(RowGauges()).decode()

    assert "forekeep_tasks{" not in text
    assert "forekeep_commitments_created_total" in text
