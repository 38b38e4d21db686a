"""Every check, proof, bond, reason and recovery a person can meet has words."""

from typing import Any

import pytest

from apps.jobs.data import EdgeKind
from apps.progress.domain.ahead_words import (
    COMMITMENT_WORDS,
    PHASE_WORDS,
    PROOF_WORDS,
    REASON_WORDS,
    RECOVERY_WORDS,
    VERDICT_WORDS,
    describe_finding,
)
from apps.progress.domain.words import dictionary
from apps.proofs.domain.deferral import ProofStatus
from apps.rollback.data import RecoveryAction, RollbackPhase
from apps.speculation.data import CommitmentStatus, Standing
from apps.speculation.domain.breaker import Breaker, BreakerStatus, Outcomes
from apps.speculation.domain.case import Check
from apps.speculation.domain.decision import Verdict, decide
from apps.tasks.data import FailureReason
from tests.factories.speculation import NOW, A, make_around, make_candidate, make_offer, make_terms


def checks_of(**changed: Any) -> dict[str, dict[str, Any]]:
    """The ten checks of a decision, by name, in words."""
    values: dict[str, Any] = {
        "candidate": make_candidate(ancestors={A: Standing.EXECUTING}),
        "offer": make_offer(),
        "around": make_around(),
        "terms": make_terms(),
        **changed,
    }
    decision = decide(values.pop("candidate"), **values, now=NOW).to_json()
    return {check["check"]: describe_finding(check) for check in decision["checks"]}


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (VERDICT_WORDS, Verdict),
        (PROOF_WORDS, ProofStatus),
        (COMMITMENT_WORDS, CommitmentStatus),
        (REASON_WORDS, FailureReason),
        (PHASE_WORDS, RollbackPhase),
    ],
)
def test_every_word_of_the_rules_is_explained(words: Any, known: Any):
    assert set(words) == {str(each) for each in known}


def test_every_recovery_is_explained_and_so_is_none():
    assert set(RECOVERY_WORDS) == {str(each) for each in RecoveryAction} | {""}


def test_each_of_the_ten_checks_says_what_it_asks_what_it_saw_and_what_is_allowed():
    checks = checks_of()

    assert set(checks) == {str(check) for check in Check}
    for name, check in checks.items():
        assert check["question"].endswith("?"), name
        assert check["seen"], name
        assert check["allowed"], name
        assert check["flips"], name


def test_a_decision_without_a_keeper_says_that_none_can_take_the_task():
    checks = checks_of(offer=None)

    for name in ("lease", "bond", "reputation"):
        assert not checks[name]["met"]
        assert "no keeper can take it now" in checks[name]["seen"]


def test_what_was_seen_is_said_with_its_unit():
    checks = checks_of()

    assert checks["depth"]["seen"] == "depth 1"
    assert checks["depth"]["allowed"] == "at most 5"
    assert checks["lease"]["seen"] == "120.0 s"
    assert checks["lease"]["allowed"] == "more than 60.0 s"
    assert "a bond of 2\u202f000\u202f000 units" in checks["bond"]["allowed"]
    assert checks["ancestors"]["seen"] == "1 unconfirmed"


def test_a_refusal_names_what_stands_in_the_way():
    checks = checks_of(
        candidate=make_candidate(
            parents={A: EdgeKind.RESOURCE}, ancestors={A: Standing.DEAD}, cycle=("a", "b", "a")
        ),
        terms=make_terms({"off_by": "job"}),
        around=make_around(
            breaker=Breaker(status=BreakerStatus.HALF_OPEN, since=NOW), outcomes=Outcomes(ended=9, undone=4)
        ),
    )

    assert checks["enabled"]["seen"] == "switched off by the job"
    assert "is dead" in checks["ancestors"]["seen"]
    assert checks["cycle"]["seen"] == "a → b → a"
    assert checks["edges"]["seen"].startswith("1 to unconfirmed steps (task_")
    assert checks["rollback_rate"]["seen"] == "4 of 9 undone; breaker half open"


def test_the_page_s_scripts_get_all_of_it():
    words = dictionary()

    assert {"task", "run", "errors", "proof", "commitment", "reason"} == set(words)
    assert all(len(pair) == 2 for group in words.values() for pair in group.values())
