"""A delivery under random claims, answers, lapses, replays and cancellations.

It is sent under one id, a stale claim changes nothing, an open one always wakes, tries are bounded.
"""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.notices.data import DELIVERY_TABLE, OPEN, REPLAYABLE, Answer, DeliveryStatus
from apps.notices.domain.retrying import judge

MOST = 3
ANSWERS = st.sampled_from(
    [Answer(status=200), Answer(status=500), Answer(status=410), Answer(error="x"), Answer(status=429)]
)


class DeliveryMachine(RuleBasedStateMachine):
    """The columns as the services move them."""

    def __init__(self):
        super().__init__()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.status = DeliveryStatus.PENDING
        self.next_at: datetime | None = self.now
        self.attempts = self.before = 0
        self.claims = []

    def move(self, target):
        self.status = DELIVERY_TABLE.move(id="dlv", current=self.status, target=target)

    @rule(hours=st.integers(0, 30))
    def time_passes(self, hours):
        self.now += timedelta(hours=hours)

    @precondition(lambda self: self.status in OPEN and self.next_at <= self.now)
    @rule()
    def claim(self):
        self.move(DeliveryStatus.SENDING)
        if self.attempts - self.before >= MOST:
            self.move(DeliveryStatus.FAILED)
            self.next_at = None
            return
        self.attempts += 1
        self.next_at = self.now + timedelta(seconds=30)
        self.claims.append(self.attempts)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), answer=ANSWERS)
    def answer(self, data, answer):
        claim = data.draw(st.sampled_from(self.claims))
        self.claims.remove(claim)
        if self.status is not DeliveryStatus.SENDING or claim != self.attempts:
            return
        tries = self.attempts - self.before
        verdict = judge(answer, tries=tries, most=MOST, fraction=0.5, now=self.now)
        self.move(verdict.status)
        self.next_at = verdict.next_at

    @precondition(lambda self: self.status in OPEN)
    @rule()
    def cancel(self):
        self.move(DeliveryStatus.CANCELLED)
        self.next_at = None

    @precondition(lambda self: self.status in REPLAYABLE)
    @rule()
    def replay(self):
        self.status, self.next_at, self.before = DeliveryStatus.PENDING, self.now, self.attempts

    @invariant()
    def an_open_one_wakes_and_an_ended_one_does_not(self):
        assert (self.status in OPEN) == (self.next_at is not None)

    @invariant()
    def its_tries_are_bounded(self):
        assert 0 <= self.attempts - self.before <= MOST


TestDeliveryMachine = DeliveryMachine.TestCase
