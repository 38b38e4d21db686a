"""What a set of confirmed tasks costs and earns: postings, points and the keepers' records."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from django.conf import settings

from apps.eventlog.locking import lock_rows
from apps.keepers.data import KeeperOutcome
from apps.keepers.models import Keeper
from apps.keepers.services import keepers_record_outcomes
from apps.ledger.data import TransactionDraft
from apps.ledger.domain.postings import escrow_settle
from apps.settlement.domain.fees import Fee, compute_fee
from apps.tasks.models import Run, Task

#: domain.md: +100 reputation per confirmed task
_REPUTATION_PER_TASK = 100
_POINTS_PERFORMER = 10
_POINTS_ATTESTER = 2


class Payments:
    """Gathers the money of one confirm pass over locked runs; writes nothing but the keepers' records."""

    def __init__(self, runs: Mapping[UUID, Run]) -> None:
        self.spent: defaultdict[UUID, int] = defaultdict(int)
        self.postings: list[TransactionDraft] = []
        self._outcomes: list[KeeperOutcome] = []
        self._runs = runs

    def pay(self, task: Task, *, attesters: Sequence[str], gas_used: int, gas_price_wei: int) -> Fee:
        """Charge one confirmed task to its run's escrow and remember who earned what."""
        run, result = self._runs[task.run_id], task.result or {}
        fee = compute_fee(
            cpu_ms=result["cpu_ms"],
            cpu_second_units=settings.FOREKEEP.jobs.offchain_cpu_second_units,
            base_units=settings.FOREKEEP.jobs.offchain_base_units,
            gas_used=gas_used,
            gas_price_wei=gas_price_wei,
            multiplier_percent=settings.FOREKEEP.settlement.fee_multiplier_percent,
            attesters=attesters,
            ceiling_units=run.escrow_units - run.spent_units - self.spent[run.id],
        )
        self.spent[task.run_id] += fee.total_units
        if fee.total_units:
            paid = escrow_settle(
                task.project_id,
                task.id,
                fee.total_units,
                performer=task.performer,
                performer_units=fee.performer_units,
                attester_units=dict(fee.attester_units),
                run_id=run.id,
            )
            self.postings.append(replace(paid, trace_id=run.trace_id))
        self._outcomes.append(
            KeeperOutcome(
                address=task.performer,
                confirmed_count=1,
                points=_POINTS_PERFORMER,
                reputation_delta=_REPUTATION_PER_TASK,
                latency_ms=(result["wall_ms"],),
            )
        )
        self._outcomes.extend(
            KeeperOutcome(address=address, points=_POINTS_ATTESTER) for address in attesters
        )
        return fee

    def lock_keepers(self) -> None:
        """Lock the keepers that earned, after every other row and before any event."""
        addresses = {outcome.address for outcome in self._outcomes}
        lock_rows(Keeper.objects.filter(address__in=addresses), skip_locked=False)

    def record_outcomes(self) -> None:
        """Write the keepers' records."""
        if self._outcomes:
            keepers_record_outcomes(self._outcomes)
