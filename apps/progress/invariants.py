"""What must always hold, asked of live data in set queries.

Each check in `checks/` is a question by its number; the answer is the rows that break it, none when all is
well. The apps below ask of their own rows what needs nothing else. What SQL holds by itself (named
constraints) is not asked again.
"""

from collections.abc import Callable, Iterable
from typing import Final

from apps.progress.checks.agreement import check_committees, check_settlements
from apps.progress.checks.ancestry import check_depths, check_final, check_ground
from apps.progress.checks.attempts import check_epochs, check_events, check_moves, check_wake_ups
from apps.progress.checks.money import check_balances, check_bonds, check_slashes
from apps.progress.checks.violation import Fault, Violation, taken_over
from apps.proofs.selectors import check as check_proofs
from apps.rollback.selectors import check as check_rollbacks

_CHECKS: Final[tuple[Callable[[], Iterable[Fault]], ...]] = (
    check_balances,
    check_bonds,
    check_slashes,
    check_rollbacks,
    check_final,
    check_ground,
    check_depths,
    check_epochs,
    check_moves,
    check_settlements,
    check_proofs,
    check_wake_ups,
    check_committees,
    check_events,
)


def find_violations() -> list[Violation]:
    """Every violation, by number."""
    found: list[Violation] = []
    for check in _CHECKS:
        found.extend(taken_over(check()))
    return sorted(found, key=lambda one: (one.invariant, one.where))
