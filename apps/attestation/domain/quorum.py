"""What a round's ballots say: of the round as one, or of each item.

Valid ⇔ at least ⌈2N/3⌉ positive votes on one result; invalid ⇔ as many negative ones; else no quorum
(invariant 20). A positive vote is for the performer's very result, so positive votes agree by
construction. A round whose quorum agrees with every item is settled as one; otherwise each item is
decided, and what was valid is asked again alone, because only a signature over its own root can
settle it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.attestation.data import ItemVerdict, RoundStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class BallotValue:
    """One attester's verdicts, in item order."""

    attester: str
    verdicts: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDecision:
    """The round's next status, each item's verdict, and who signed the root of a unanimous round."""

    status: RoundStatus
    verdicts: tuple[ItemVerdict, ...] = ()
    signers: tuple[str, ...] = ()


def decide_round(
    *, size: int, committee_size: int, required: int, ballots: Sequence[BallotValue], is_over: bool
) -> RoundDecision:
    """Decide a round of `size` items from the ballots so far; `is_over` when no more are awaited."""
    signers = tuple(sorted(ballot.attester for ballot in ballots if all(ballot.verdicts)))
    if len(signers) >= required:
        return RoundDecision(
            status=RoundStatus.UNANIMOUS, verdicts=(ItemVerdict.VALID,) * size, signers=signers
        )
    verdicts = tuple(
        judge_item([ballot.verdicts[index] for ballot in ballots], required) for index in range(size)
    )
    is_complete = len(ballots) >= committee_size
    if ItemVerdict.OPEN not in verdicts:
        return RoundDecision(status=RoundStatus.SPLIT, verdicts=verdicts)
    if is_complete or is_over:
        closed = tuple(ItemVerdict.NO_QUORUM if v is ItemVerdict.OPEN else v for v in verdicts)
        status = RoundStatus.SPLIT if is_complete else RoundStatus.EXPIRED
        return RoundDecision(status=status, verdicts=closed)
    return RoundDecision(status=RoundStatus.OPEN)


def judge_item(votes: Sequence[bool], required: int) -> ItemVerdict:
    """Valid, invalid, or still open."""
    positive = sum(votes)
    if positive >= required:
        return ItemVerdict.VALID
    if len(votes) - positive >= required:
        return ItemVerdict.INVALID
    return ItemVerdict.OPEN
