"""A keeper asks whether the trigger was right to fire before it works: performer and attester alike."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.attestation.data import ballot_from_json
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import (
    DISPATCHER,
    make_assignment,
    make_call,
    make_node,
    result_of,
    script_spec,
    signed,
    unsigned,
)
from workers.keeper.attest import attest
from workers.keeper.execute import execute

CONDITION = {
    "sources": {"price": {"kind": "static", "value": 1}},
    "when": {"route": "", "is": "greater_than", "value": "100"},
}


def trigger(value: str) -> dict[str, Any]:
    """A condition that fired just now on this value."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    seen = {"at": at, "kind": "static", "url": "", "values": {"": value}}
    return {
        "kind": "condition",
        "rule": CONDITION,
        "evidence": {"kind": "condition", "latched": 0, "observations": {"price": seen}},
        "due_at": at,
        "fired_at": at,
        "expires_at": None,
    }


@pytest.fixture
def node(tmp_path: Path) -> Any:
    """A keeper whose scripts print an empty object."""
    return make_node(tmp_path / "one")


def test_the_script_is_told_what_was_seen(node: Any):
    result = result_of(node, script_spec(node, trigger=trigger("101"), action=None))
    assert result["status"] == "ok"
    told = json.loads(node.executor.requests[0].stdin)["trigger"]
    assert told["observations"]["price"]["values"] == {"": "101"}


def test_what_should_not_have_fired_is_not_worked_on(node: Any):
    result = result_of(node, script_spec(node, trigger=trigger("100"), action=None))
    assert (result["status"], result["error_code"]) == ("failed", "trigger_unmet")
    assert result["error_detail"] == "condition_not_met"
    assert not node.executor.requests


def test_an_attester_does_not_agree_with_work_whose_trigger_was_unmet(tmp_path: Path, node: Any, monkeypatch):
    """A performer that does not check finds an attester that does."""
    attester = make_node(tmp_path / "two", store=node.store)
    assignment = make_assignment(node.address, script_spec(node, trigger=trigger("100"), action=None))
    monkeypatch.setattr("workers.keeper.work.find_fault", lambda *_, **__: "")
    (receipt,) = execute(node, signed(assignment))
    monkeypatch.undo()

    item = {"assignment": unsigned(assignment), "receipt": receipt, "parents": []}
    attest(attester, make_call(attester.address, [item]).to_json(domain=DOMAIN, key=DISPATCHER))
    assert ballot_from_json(attester.outbox.ballots[-1]).reasons == ("trigger_unmet",)
