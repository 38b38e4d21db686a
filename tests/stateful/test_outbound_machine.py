"""Random lives of a transaction over the rule and the table: only listed moves, and nothing final too soon.

Invariants: 13 (only listed moves; here an ended one may return, because a chain can take back), and that
a transaction is confirmed only while its block is canonical and k deep.
"""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.chains.data import OUTBOUND_TABLE, OutboundStatus, Receipt
from apps.chains.domain.tracking import Effect, Sighting, Tracked, TrackingLimits, decide

LIMITS = TrackingLimits(confirmations=2, resend_seconds=5, drop_after_seconds=60, bump_after_sends=6)
LIVE = (OutboundStatus.BROADCAST, OutboundStatus.MINED)
START = datetime(2026, 1, 1, tzinfo=UTC)


class OutboundMachine(RuleBasedStateMachine):
    """One transaction of ours, and a chain that mines, reorganises and forgets."""

    def __init__(self):
        super().__init__()
        self.now = START
        self.status = OutboundStatus.SIGNED
        self.block: tuple[int | None, str] = (None, "")
        self.sends = 0
        self.sent_at: datetime | None = None
        self.canonical = ["0x0"]
        self.forks = 0
        self.mined_at: int | None = None
        self.is_pending = False
        self.moves = []

    def move(self, target):
        if target is not self.status:
            self.moves.append((self.status, target))
            self.status = OUTBOUND_TABLE.move(id="1", current=self.status, target=target)

    @precondition(lambda self: self.status is OutboundStatus.SIGNED)
    @rule()
    def send(self):
        self.is_pending = self.mined_at is None
        self.sends += 1
        self.sent_at = self.now
        self.move(OutboundStatus.BROADCAST)

    @rule(count=st.integers(1, 4), takes=st.booleans())
    def mine(self, count, takes):
        for _ in range(count):
            self.canonical.append(f"0x{len(self.canonical)}f{self.forks}")
            if takes and self.is_pending:
                self.mined_at, self.is_pending = len(self.canonical) - 1, False

    @precondition(lambda self: len(self.canonical) > 1)
    @rule(depth=st.integers(1, 6))
    def reorganise(self, depth):
        self.forks += 1
        kept = max(1, len(self.canonical) - depth)
        height = len(self.canonical)
        self.canonical = self.canonical[:kept]
        while len(self.canonical) < height:
            self.canonical.append(f"0x{len(self.canonical)}f{self.forks}")
        if self.mined_at is not None and self.mined_at >= kept:
            self.mined_at = None

    @rule()
    def node_forgets_pending(self):
        self.is_pending = False

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.status in LIVE)
    @rule()
    def look(self):
        verdict = decide(self.tracked(), self.sighting(), LIMITS, self.now)
        self.move(verdict.status)
        if verdict.effect is Effect.RECORD and self.mined_at is not None:
            self.block = (self.mined_at, self.canonical[self.mined_at])
        elif verdict.effect is Effect.FORGET:
            self.block = (None, "")
        elif verdict.effect is Effect.BUMP:
            self.sends = 0
        if verdict.status in (OutboundStatus.CONFIRMED, OutboundStatus.FAILED):
            assert self.mined_at is not None
            assert self.canonical[self.mined_at] == self.block[1]
            assert len(self.canonical) - 1 - self.mined_at >= LIMITS.confirmations

    @precondition(lambda self: self.status is OutboundStatus.CONFIRMED and self.mined_at is None)
    @rule()
    def audit(self):
        self.block = (None, "")
        self.move(OutboundStatus.SIGNED)

    def tracked(self):
        return Tracked(
            status=self.status,
            nonce=0,
            block_number=self.block[0],
            block_hash=self.block[1],
            is_void=False,
            is_underpriced=False,
            send_count=self.sends,
            created_at=START,
            broadcast_at=self.sent_at,
        )

    def sighting(self):
        receipt = None
        if self.mined_at is not None:
            receipt = Receipt(
                tx_hash="0x01",
                block_number=self.mined_at,
                block_hash=self.canonical[self.mined_at],
                is_success=True,
                gas_used=1,
                effective_gas_price_wei=1,
                contract_address=None,
            )
        known = self.block[0]
        return Sighting(
            receipt=receipt,
            known_block_hash=dict(enumerate(self.canonical)).get(-1 if known is None else known),
            head_number=len(self.canonical) - 1,
            mined_nonces=int(self.mined_at is not None),
        )

    @invariant()
    def only_listed_moves_happened(self):
        assert all(OUTBOUND_TABLE.is_legal(current, target) for current, target in self.moves)

    @invariant()
    def a_row_knows_a_block_exactly_while_it_is_in_one(self):
        is_in_block = self.status in (OutboundStatus.MINED, OutboundStatus.CONFIRMED)
        assert is_in_block == (self.block[0] is not None)

    @invariant()
    def nothing_is_dropped_that_nobody_replaced(self):
        assert self.status is not OutboundStatus.DROPPED


OutboundMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOutboundMachine = OutboundMachine.TestCase
