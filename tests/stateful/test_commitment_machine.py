"""Random lives of commitments over the rules and an account book kept beside them.

Invariants: 1 and 2 (money), 3 (a bond ends once), 4 and 5 (slash), 13 (only listed moves, endings absorb).
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from apps.kernel.transitions import IllegalTransition
from apps.ledger.data import AccountKey
from apps.ledger.domain.drafts import apply_amounts, compute_amounts, require_postable
from apps.ledger.domain.postings import DEPOSITS, TREASURY, keeper_bonded, keeper_free
from apps.speculation.data import COMMITMENT_TABLE, Commitment, CommitmentStatus, FailureReason
from apps.speculation.domain.bonds import BondTerms, compute_bond, compute_shares, compute_slash
from apps.speculation.domain.commitments import (
    Moved,
    confirm_commitment,
    fail_commitment,
    fulfil_commitment,
    open_commitment,
    roll_back_commitment,
)
from apps.speculation.errors import BondTooSmall, CommitmentForeign, CommitmentStale
from tests.factories.speculation import KEEPERS, NOW, task_id

TERMS = BondTerms()
STAKE = 40_000_000
LIVE = (CommitmentStatus.OPEN, CommitmentStatus.FULFILLED)


@dataclass
class Book:
    """Balances, and every reference that was ever posted."""

    balances: dict[AccountKey, int]
    references: set[str]


class CommitmentMachine(RuleBasedStateMachine):
    """Three keepers with a stake each, and the commitments they make."""

    opened = Bundle("opened")

    def __init__(self):
        super().__init__()
        accounts = [key(address) for address in KEEPERS[:3] for key in (keeper_free, keeper_bonded)]
        balances = dict.fromkeys([*accounts, TREASURY, DEPOSITS], 0)
        balances |= {keeper_free(address): STAKE for address in KEEPERS[:3]}
        balances[DEPOSITS] = -3 * STAKE
        self.book = Book(balances=balances, references=set())
        self.commitments: list[Commitment] = []

    def take(self, index: int | None, moved: Moved) -> int:
        """Store a move and post its draft, as one transaction would."""
        if moved.draft is not None:
            (draft,) = require_postable([moved.draft])
            assert draft.reference not in self.book.references
            self.book.references.add(draft.reference)
            self.book.balances = apply_amounts(self.book.balances, [compute_amounts(draft)])
        if index is None:
            self.commitments.append(moved.commitment)
            return len(self.commitments) - 1
        before = self.commitments[index].status
        after = moved.commitment.status
        assert before is after or COMMITMENT_TABLE.is_legal(before, after)
        assert before is not after or moved.draft is None
        self.commitments[index] = moved.commitment
        return index

    @rule(target=opened, keeper=st.integers(0, 2), depth=st.integers(0, 4), short=st.integers(0, 1))
    def open(self, keeper, depth, short):
        free = self.book.balances[keeper_free(KEEPERS[keeper])]
        bond_units = compute_bond(depth, TERMS) - short
        if free < bond_units:
            bond_units = 0
        number = len(self.commitments)
        try:
            moved = open_commitment(
                task=task_id(number),
                epoch=1,
                run=task_id(0),
                producer=KEEPERS[keeper],
                depth=depth,
                bond_units=bond_units,
                ancestors=(),
                terms=TERMS,
                now=NOW,
            )
        except BondTooSmall:
            assert depth
            assert bond_units < compute_bond(depth, TERMS)
            return number - 1
        assert not depth or bond_units >= compute_bond(depth, TERMS)
        return self.take(None, moved)

    @rule(index=opened, keeper=st.integers(0, 2), epoch=st.integers(1, 2), result=st.sampled_from(["a", "b"]))
    def fulfil(self, index, keeper, epoch, result):
        if index < 0:
            return
        before = self.commitments[index]
        try:
            moved = fulfil_commitment(before, keeper=KEEPERS[keeper], epoch=epoch, result_hash=result)
        except CommitmentForeign:
            assert KEEPERS[keeper] != before.producer
        except CommitmentStale:
            assert epoch != before.epoch
        except IllegalTransition:
            assert before.status is not CommitmentStatus.OPEN
        else:
            assert (KEEPERS[keeper], epoch) == (before.producer, before.epoch)
            self.take(index, moved)

    @rule(index=opened)
    def confirm(self, index):
        self.end(index, lambda own: confirm_commitment(own, now=NOW), CommitmentStatus.CONFIRMED)

    @rule(index=opened, reason=st.sampled_from(FailureReason))
    def roll_back(self, index, reason):
        self.end(
            index,
            lambda own: roll_back_commitment(own, reason=reason, now=NOW),
            CommitmentStatus.ROLLED_BACK,
        )

    @rule(
        index=opened,
        reason=st.sampled_from(FailureReason),
        wasted=st.lists(st.integers(0, 50), min_size=3, max_size=3),
    )
    def fail(self, index, reason, wasted):
        if index < 0:
            return
        own = self.commitments[index]
        slashed = compute_slash(own.bond_units, reason, TERMS)
        by_keeper = dict(zip(KEEPERS, wasted, strict=False))
        shares = compute_shares(slashed, by_keeper, slashed_keeper=own.producer)
        treasury = self.book.balances[TREASURY]
        was_live = own.status in LIVE
        self.end(
            index,
            lambda own: fail_commitment(own, reason=reason, shares=shares, now=NOW),
            CommitmentStatus.FAILED,
        )
        gained = self.book.balances[TREASURY] - treasury
        assert gained == (shares.treasury_units if was_live else 0)

    def end(self, index, move, target):
        if index < 0:
            return
        before = self.commitments[index]
        try:
            moved = move(before)
        except IllegalTransition:
            assert not COMMITMENT_TABLE.is_legal(before.status, target)
            return
        assert before.status in LIVE or moved == Moved(commitment=before)
        self.take(index, moved)

    @invariant()
    def money_is_neither_made_nor_lost(self):
        """Invariant 1."""
        assert sum(self.book.balances.values()) == 0

    @invariant()
    def what_is_bonded_is_what_open_commitments_hold(self):
        """Invariants 2 and 3."""
        for address in KEEPERS[:3]:
            held = sum(
                own.bond_units for own in self.commitments if own.producer == address and own.status in LIVE
            )
            assert self.book.balances[keeper_bonded(address)] == held

    @invariant()
    def an_end_has_its_time_and_nothing_else_has(self):
        assert all((own.status in LIVE) is (own.ended_at is None) for own in self.commitments)


TestCommitments = CommitmentMachine.TestCase
TestCommitments.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
