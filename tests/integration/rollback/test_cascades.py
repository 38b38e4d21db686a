"""What a failure does to rows: statuses, bonds, slash, leases, records, and what is told of it."""

import pytest

from apps.eventlog.selectors import get_database_now
from apps.execution.data import AssignmentStatus
from apps.execution.models import Assignment
from apps.keepers.models import Keeper
from apps.ledger.domain.postings import TREASURY
from apps.ledger.models import Transaction
from apps.ledger.selectors import get_balances
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.models import Proof
from apps.rollback.data import Target
from apps.rollback.models import DeadLetter, Rollback, RollbackItem
from apps.rollback.services import rollbacks_apply
from apps.speculation.data import CommitmentStatus
from apps.speculation.domain.lineage import stamp_of
from apps.speculation.models import Commitment
from apps.tasks.data import FailureReason, RunStatus
from tests.factories.ahead import STAKE_UNITS, make_ahead
from tests.factories.running_ahead import make_story
from tests.integration.rollback.applying import apply

pytestmark = pytest.mark.django_db

R = FailureReason
CHAIN = {"a": "submitted", "b": "waiting_ancestors", "c": "executing"}
BONDS = {"a": 1_000_000, "b": 2_000_000, "c": 4_000_000}
#: what depends on what: a diamond under `a`, and a step that stands alone
DIAMOND = [
    {"key": "a", "script_source": "print({})"},
    {"key": "b", "script_source": "print({})", "parents": ["a"]},
    {"key": "c", "script_source": "print({})", "parents": ["a"]},
    {"key": "d", "script_source": "print({})", "parents": ["b", "c"]},
    {"key": "alone", "script_source": "print({})"},
]


def test_the_worked_example_to_the_unit():
    """domain.md: order C, B, A; 100,000 slashed, 6,900,000 back before the victims' share."""
    run = make_ahead(CHAIN, bonds=BONDS)
    run.signal("a", R.PROOF_REJECTED)

    apply(run)

    row = Rollback.objects.get()
    items = list(row.items.select_related("task"))
    assert [item.task.step_key for item in items] == ["c", "b", "a"]
    assert [item.target for item in items] == [Target.ABORTED, Target.ROLLED_BACK, Target.FAILED]
    assert [item.released_units for item in items] == [4_000_000, 2_000_000, 900_000]
    assert (row.released_units, row.slashed_units, row.treasury_units) == (6_900_000, 100_000, 50_000)
    assert row.victims == {run.keeper("b"): 50_000}
    assert run.balances(run.keeper("a")) == (STAKE_UNITS - 100_000, 0)
    assert run.balances(run.keeper("b")) == (STAKE_UNITS + 50_000, 0)
    assert run.balances(run.keeper("c")) == (STAKE_UNITS, 0)
    assert get_balances([TREASURY]) == {TREASURY: 50_000}


def test_one_movement_ends_all_bonds_of_a_cascade():
    run = make_ahead(CHAIN, bonds=BONDS)
    run.signal("a", R.PROOF_REJECTED)
    apply(run)
    (movement,) = Transaction.objects.filter(kind="cascade_settle")
    assert movement.reference == f"cascade:{Rollback.objects.get().id.hex}"
    assert movement.trace_id == run.run.trace_id
    assert dict(Commitment.objects.values_list("task__step_key", "status")) == {
        "a": CommitmentStatus.FAILED,
        "b": CommitmentStatus.ROLLED_BACK,
        "c": CommitmentStatus.ROLLED_BACK,
    }


def test_victims_share_by_their_recorded_compute_and_the_slashed_keeper_is_none_of_them():
    run = make_ahead(
        {"a": "executed", "b": "executed", "c": "executed", "d": "executed"},
        bonds={"a": 3_000_001},
        compute={"b": 10, "c": 20, "d": 5},
    )
    Commitment.objects.update(producer_id=run.keeper("a"))
    run.signal("a", R.RESULT_REJECTED)
    apply(run)
    row = Rollback.objects.get()
    assert (row.slashed_units, row.treasury_units) == (300_000, 150_000)
    assert row.victims == {run.keeper("b"): 42_857, run.keeper("c"): 85_714, run.keeper("d"): 21_429}
    assert row.wasted_units == 10 + 20 + 5 + 12


def test_a_keeper_that_claims_absurd_compute_neither_stops_a_cascade_nor_takes_everything():
    run = make_ahead(
        {"a": "executed", "b": "executed", "c": "executed"},
        bonds={"a": 1_000_000},
        compute={"b": 2**53 - 1, "c": 1_000_000},
    )
    run.signal("a", R.RESULT_REJECTED)
    apply(run)
    assert Rollback.objects.get().victims == {run.keeper("b"): 25_000, run.keeper("c"): 25_000}


@pytest.mark.parametrize(
    ("status", "target"),
    [
        ("discovered", "cancelled"),
        ("waiting", "cancelled"),
        ("scheduled", "cancelled"),
        ("executing", "aborted"),
        ("executed", "rolled_back"),
        ("attested", "rolled_back"),
        ("proving", "rolled_back"),
        ("proved", "rolled_back"),
        ("waiting_ancestors", "rolled_back"),
        ("submitted", "rolled_back"),
    ],
)
def test_what_becomes_of_a_descendant_by_how_far_it_came(status, target):
    run = make_ahead({"a": "executed", "b": status})
    run.signal("a", R.NO_QUORUM)
    apply(run)
    assert run.statuses() == {"a": "failed", "b": target}
    assert run.tasks["b"].error_code == "ancestor_failed"
    assert RollbackItem.objects.get(task=run.tasks["b"]).previous == status
    assert run.run.status == RunStatus.FAILED


@pytest.mark.parametrize(
    "status",
    [
        "discovered",
        "waiting",
        "scheduled",
        "executing",
        "executed",
        "attested",
        "proving",
        "proved",
        "waiting_ancestors",
        "submitted",
    ],
)
def test_a_root_fails_wherever_it_stands(status):
    run = make_ahead({"a": status, "b": "waiting"})
    run.signal("a", R.NO_QUORUM, code="no_quorum", detail="2 of 5")
    apply(run)
    root = run.tasks["a"]
    assert (root.status, root.error_code, root.error_detail) == ("failed", "no_quorum", "2 of 5")
    assert (root.failures, root.is_failing, root.wake_at) == (1, False, None)
    letter = DeadLetter.objects.get()
    assert (letter.stage, letter.attempts, letter.dependents, letter.is_final) == (status, 1, 1, True)


def test_only_what_stands_on_the_failure_is_touched():
    run = make_ahead(
        {"a": "confirmed", "b": "executed", "c": "executing", "d": "waiting", "alone": "executed"},
        steps=DIAMOND,
    )
    run.signal("b", R.NO_QUORUM)
    apply(run)
    assert run.statuses() == {
        "a": "confirmed",
        "b": "failed",
        "c": "executing",
        "d": "cancelled",
        "alone": "executed",
    }
    assert run.run.status == RunStatus.OPEN
    assert Rollback.objects.get().depth == 1


def test_leases_are_revoked_and_their_keepers_told_to_stop():
    run = make_ahead({"a": "executed", "b": "executing", "c": "scheduled"})
    run.signal("a", R.RESULT_REJECTED)
    attempts = {step: (str(run.tasks[step]), run.tasks[step].epoch) for step in ("b", "c")}

    (revocation,) = apply(run).revocations

    leases = Assignment.objects.filter(task__step_key__in=["b", "c"])
    assert set(leases.values_list("status", "end_reason")) == {(AssignmentStatus.REVOKED, "ancestor_failed")}
    assert revocation.rollback == str(Rollback.objects.get())
    assert revocation.stamps == (stamp_of(run.tasks["a"].id, 1),)
    assert revocation.aborts == {
        run.keeper("b"): (attempts["b"],),
        run.keeper("c"): (attempts["c"],),
    }


def test_pending_proofs_are_cancelled_and_the_prover_is_told_of_those_being_made():
    story = make_story(("load", "clean"))
    story.put("load", "attested")
    story.put("clean", "proving")
    story.signal("load", R.RESULT_REJECTED)

    (revocation,) = rollbacks_apply(now=get_database_now(), limit=100).revocations

    assert Proof.objects.get().status == ProofStatus.CANCELLED
    assert len(revocation.proofs) == 1
    assert Rollback.objects.get().proofs == list(revocation.proofs)


def test_a_slash_costs_reputation_and_nothing_else_does():
    run = make_ahead({"a": "executed", "b": "executed"}, bonds={"a": 1_000_000, "b": 2_000_000})
    before = dict(Keeper.objects.values_list("address", "reputation"))
    run.signal("a", R.RESULT_REJECTED)
    apply(run)
    after = dict(Keeper.objects.values_list("address", "reputation"))
    assert after.pop(run.keeper("a")) == before.pop(run.keeper("a")) - 300
    assert after == before


def test_without_a_bond_there_is_nothing_to_slash():
    run = make_ahead({"a": "executed", "b": "executed"})
    before = dict(Keeper.objects.values_list("address", "reputation"))
    run.signal("a", R.RESULT_REJECTED)
    apply(run)
    row = Rollback.objects.get()
    assert (row.slashed_units, row.slashed_keeper, row.victims) == (0, "", {})
    assert dict(Keeper.objects.values_list("address", "reputation")) == before
    assert not Transaction.objects.filter(kind="cascade_settle").exists()


@pytest.mark.parametrize("reason", [R.TIMEOUT, R.CLAIM_EXPIRED])
def test_a_slash_is_five_percent_where_time_ran_out(reason):
    run = make_ahead({"a": "executing"}, bonds={"a": 1_000_000})
    run.signal("a", reason)
    apply(run)
    assert Rollback.objects.get().slashed_units == 50_000
