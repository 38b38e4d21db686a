"""States of a batch and of a settlement."""

from enum import StrEnum
from typing import Final

from apps.kernel.transitions import TransitionTable


class BatchStatus(StrEnum):
    """Where one transaction to the hub stands."""

    #: signed and stored; being sent until it is mined
    SUBMITTED = "submitted"
    #: mined and k blocks deep
    CONFIRMED = "confirmed"
    #: the transaction failed as a whole
    FAILED = "failed"


BATCH_TABLE: Final = TransitionTable(
    name="batch",
    moves={BatchStatus.SUBMITTED: frozenset({BatchStatus.CONFIRMED, BatchStatus.FAILED})},
)


class SettlementStatus(StrEnum):
    """What became of one task in its batch."""

    #: on its way
    SUBMITTED = "submitted"
    #: recorded by the hub
    SETTLED = "settled"
    #: not recorded (its action reverted, or the whole transaction failed); another may follow
    VOID = "void"


SETTLEMENT_TABLE: Final = TransitionTable(
    name="settlement",
    moves={SettlementStatus.SUBMITTED: frozenset({SettlementStatus.SETTLED, SettlementStatus.VOID})},
)
