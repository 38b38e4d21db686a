"""May this task run ahead: ten checks, in order, all recorded; the first refusal is the answer."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.jobs.data import EdgeKind
from apps.speculation.data import STANDINGS, Standing
from apps.speculation.domain.breaker import Breaker, BreakerStatus, Outcomes
from apps.speculation.domain.case import Check
from apps.speculation.domain.checks import CHECKS
from apps.speculation.domain.decision import Verdict, compute_wake_at, decide
from apps.tasks.data import TaskStatus
from tests.factories.speculation import (
    NOW,
    A,
    B,
    C,
    D,
    make_around,
    make_candidate,
    make_offer,
    make_terms,
)

AHEAD = make_candidate(ancestors={A: Standing.EXECUTING})
OPEN_BREAKER = Breaker(status=BreakerStatus.OPEN, since=NOW - timedelta(seconds=100))

#: what breaks each check alone: (candidate, offer, around, limits)
BREAKS = {
    Check.ENABLED: (AHEAD, make_offer(), make_around(), {"off_by": "project"}),
    Check.ANCESTORS: (make_candidate(ancestors={A: Standing.DEAD}), make_offer(), make_around(), {}),
    Check.CYCLE: (
        make_candidate(ancestors={A: Standing.EXECUTING}, cycle=("a", "b", "a")),
        make_offer(),
        make_around(),
        {},
    ),
    Check.EDGES: (
        make_candidate(parents={A: EdgeKind.RESOURCE}, ancestors={A: Standing.EXECUTING}),
        make_offer(),
        make_around(),
        {},
    ),
    Check.DEPTH: (
        make_candidate(depth=6, ancestors={A: Standing.EXECUTING}),
        make_offer(),
        make_around(),
        {},
    ),
    Check.BRANCHES: (AHEAD, make_offer(), make_around(running_children={A: 4}), {}),
    Check.LEASE: (
        AHEAD,
        make_offer(lease_expires_at=NOW + timedelta(seconds=60)),
        make_around(),
        {},
    ),
    Check.BOND: (AHEAD, make_offer(free_units=1_999_999), make_around(), {}),
    Check.REPUTATION: (AHEAD, make_offer(reputation=499), make_around(), {}),
    Check.ROLLBACK_RATE: (AHEAD, make_offer(), make_around(breaker=OPEN_BREAKER), {}),
}


def ask(candidate=AHEAD, offer="rich", around=None, limits=None):
    return decide(
        candidate,
        offer=make_offer() if offer == "rich" else offer,
        around=around or make_around(),
        terms=make_terms(limits),
        now=NOW,
    )


def test_there_are_ten_checks_and_they_are_recorded_in_their_order():
    decision = ask()
    assert [finding.check for finding in decision.findings] == list(Check)
    assert len(CHECKS) == 10
    assert (decision.verdict, decision.refusal, decision.bond_units) == (Verdict.AHEAD, None, 2_000_000)
    assert decision.ancestors == (A,)
    assert all(finding.is_met and finding.flips for finding in decision.findings)


@pytest.mark.parametrize("check", list(Check))
def test_each_check_refuses_by_itself_and_says_what_would_turn_it_round(check):
    decision = ask(*BREAKS[check])
    assert (decision.verdict, decision.refusal, decision.bond_units) == (Verdict.WAIT, check, 0)
    assert not decision.may_start
    refused = [finding for finding in decision.findings if not finding.is_met]
    assert [finding.check for finding in refused] == [check]
    assert refused[0].flips
    assert refused[0].flips not in [finding.flips for finding in ask().findings]


@pytest.mark.parametrize(("first", "second"), [*zip(Check, list(Check)[1:], strict=False)])
def test_the_first_refusal_is_the_answer_whatever_else_is_refused(first, second):
    order = list(Check)
    later = order[order.index(second) :]
    candidate = make_candidate(
        depth=6 if Check.DEPTH in later or first is Check.DEPTH else 1,
        parents={A: EdgeKind.RESOURCE if first is Check.EDGES or Check.EDGES in later else EdgeKind.DATA},
        ancestors={
            A: Standing.DEAD if first is Check.ANCESTORS or Check.ANCESTORS in later else Standing.EXECUTING
        },
        cycle=("a", "a") if first is Check.CYCLE or Check.CYCLE in later else (),
    )
    around = make_around(
        running_children={A: 4} if first is Check.BRANCHES or Check.BRANCHES in later else {},
        breaker=OPEN_BREAKER,
    )
    offer = None if first is not Check.REPUTATION and first is not Check.ROLLBACK_RATE else make_offer()
    if first is Check.BOND:
        offer = make_offer(free_units=0, reputation=0)
    if first is Check.REPUTATION:
        offer = make_offer(reputation=0)
    limits = {"off_by": "job"} if first is Check.ENABLED else {}
    decision = ask(candidate, offer, around, limits)
    assert decision.refusal is first
    assert [finding.check for finding in decision.findings if not finding.is_met][:2] == [first, second]


def test_a_task_of_confirmed_ancestors_is_ready_whatever_the_checks_say():
    candidate = make_candidate(depth=0, ancestors={}, parents={A: EdgeKind.RESOURCE})
    decision = ask(candidate, None, make_around(breaker=OPEN_BREAKER), {"off_by": "network"})
    assert (decision.verdict, decision.refusal, decision.bond_units) == (Verdict.READY, None, 0)
    assert decision.may_start
    assert [finding.check for finding in decision.findings if not finding.is_met] == [
        Check.ENABLED,
        Check.LEASE,
        Check.BOND,
        Check.REPUTATION,
        Check.ROLLBACK_RATE,
    ]


def test_a_root_others_run_ahead_on_puts_up_a_bond_where_its_keeper_can():
    root = make_candidate(depth=0, parents={}, has_children=True)
    assert ask(root).bond_units == 1_000_000
    assert ask(root, make_offer(free_units=999_999)).bond_units == 0
    assert ask(root, make_offer(free_units=999_999)).verdict is Verdict.READY
    assert ask(root, limits={"off_by": "job"}).bond_units == 0
    assert ask(root, limits={"max_at_risk_units": 1}).bond_units == 0


def test_a_cycle_stops_a_task_without_ancestors_too():
    assert ask(make_candidate(depth=0, cycle=("b", "b"))).refusal is Check.CYCLE


@pytest.mark.parametrize(
    ("limits", "depth", "running", "verdict"),
    [
        ({"max_depth": 3, "max_branches": 2}, 3, 1, Verdict.AHEAD),
        ({"max_depth": 3, "max_branches": 2}, 4, 1, Verdict.WAIT),
        ({"max_depth": 3, "max_branches": 2}, 3, 2, Verdict.WAIT),
        ({}, 5, 3, Verdict.AHEAD),
        ({}, 6, 3, Verdict.WAIT),
        ({}, 5, 4, Verdict.WAIT),
    ],
)
def test_depth_may_reach_its_limit_and_branches_may_not(limits, depth, running, verdict):
    candidate = make_candidate(depth=depth, ancestors={A: Standing.PRODUCED})
    assert ask(candidate, around=make_around(running_children={A: running}), limits=limits).verdict is verdict


def test_the_lease_must_leave_more_than_the_buffer():
    just = make_offer(lease_expires_at=NOW + timedelta(seconds=60, milliseconds=1))
    assert ask(offer=just).verdict is Verdict.AHEAD
    refused = ask(*BREAKS[Check.LEASE])
    assert refused.refusal is Check.LEASE
    finding = refused.findings[6]
    assert (finding.observed, finding.limit) == (
        {"left_milliseconds": 60_000},
        {"more_than_milliseconds": 60_000},
    )


def test_the_bond_must_be_there_and_the_stake_at_risk_within_its_cap():
    assert ask(offer=make_offer(free_units=2_000_000)).verdict is Verdict.AHEAD
    full = {"max_at_risk_units": 5_000_000}
    assert ask(around=make_around(at_risk_units=3_000_000), limits=full).verdict is Verdict.AHEAD
    refused = ask(around=make_around(at_risk_units=3_000_001), limits=full)
    assert refused.refusal is Check.BOND
    assert refused.findings[7].flips == "bonds of 1 units end"


def test_reputation_and_rollback_rate_may_stand_on_their_limits():
    assert ask(offer=make_offer(reputation=500)).verdict is Verdict.AHEAD
    at_limit = make_around(outcomes=Outcomes(ended=100, undone=20))
    assert ask(around=at_limit).verdict is Verdict.AHEAD
    above = make_around(outcomes=Outcomes(ended=100, undone=21))
    assert ask(around=above).refusal is Check.ROLLBACK_RATE


def test_the_worst_ancestor_is_named():
    ancestors = {C: None, D: Standing.DEAD, A: Standing.PENDING}
    finding = ask(make_candidate(parents={}, ancestors=ancestors)).findings[1]
    assert (finding.observed["unfit"], finding.observed["standing"]) == (3, "dead")
    assert str(finding.observed["ancestor"]).endswith("4")
    missing = ask(make_candidate(ancestors={A: None})).findings[1]
    assert missing.observed["standing"] == "missing"


def test_a_confirmed_parent_neither_counts_branches_nor_scarce_edges():
    candidate = make_candidate(
        parents={A: EdgeKind.RESOURCE, C: EdgeKind.DATA}, ancestors={C: Standing.EXECUTING}
    )
    assert ask(candidate, around=make_around(running_children={A: 99, C: 3})).verdict is Verdict.AHEAD


def test_the_record_of_a_decision_is_json_with_amounts_as_strings():
    record = ask(*BREAKS[Check.BOND]).to_json()
    assert (record["verdict"], record["refusal"], record["bond_units"]) == ("wait", "bond", "0")
    assert record["checks"][7] == {
        "check": "bond",
        "met": False,
        "observed": {"free_units": "1999999", "at_risk_units": "2000000"},
        "limit": {"bond_units": "2000000", "max_at_risk_units": "1000000000000"},
        "flips": "the keeper has 1 units more",
    }
    assert ask().to_json()["refusal"] is None


def test_a_waiting_task_wakes_when_the_breaker_has_cooled_or_after_a_while():
    around = make_around(breaker=OPEN_BREAKER)
    decision = ask(around=around)
    terms = make_terms(cooldown_seconds=130).breaker
    woken = [
        compute_wake_at(decision, around=around, terms=terms, now=NOW, waiting_seconds=seconds) - NOW
        for seconds in (10, 60)
    ]
    assert woken == [timedelta(seconds=10), timedelta(seconds=30)]
    other = ask(*BREAKS[Check.DEPTH])
    later = compute_wake_at(other, around=make_around(), terms=terms, now=NOW, waiting_seconds=60)
    assert later == NOW + timedelta(seconds=60)


def test_every_status_of_a_task_has_a_standing():
    assert {str(status) for status in TaskStatus} <= set(STANDINGS)


@given(
    st.integers(0, 12),
    st.sampled_from([*Standing, None]),
    st.integers(0, 9),
    st.one_of(st.none(), st.tuples(st.integers(0, 10**8), st.integers(0, 900), st.integers(-9, 120))),
)
def test_whoever_runs_ahead_passed_every_check_and_has_its_bond(depth, standing, running, offered):
    candidate = make_candidate(depth=depth, ancestors={A: standing} if depth else {}, task=B)
    offer = None
    if offered:
        free, reputation, seconds = offered
        offer = make_offer(
            free_units=free, reputation=reputation, lease_expires_at=NOW + timedelta(seconds=seconds)
        )
    decision = ask(candidate, offer, make_around(running_children={A: running}))
    if depth == 0:
        assert decision.verdict is Verdict.READY
        return
    is_fit = (
        standing in (Standing.SCHEDULED, Standing.EXECUTING, Standing.PRODUCED)
        and depth <= 5
        and running < 4
        and offered is not None
        and offered[2] > 60
        and offered[0] >= 1_000_000 * 2**depth
        and offered[1] >= 500
    )
    assert (decision.verdict is Verdict.AHEAD) is is_fit
    assert decision.bond_units == (1_000_000 * 2**depth if is_fit else 0)
