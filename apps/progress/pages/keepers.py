"""/keepers: the leaderboard, who is online, and what the scoring sees of each."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from apps.eventlog.selectors import get_database_now
from apps.execution.domain.scoring import MILLION, WEIGHTS, compute_parts
from apps.execution.selectors import count_open_leases
from apps.keepers.models import Keeper
from apps.keepers.selectors import get_keepers
from apps.progress.domain.frames import to_rfc3339
from apps.progress.pages.page import Page


class KeepersPage(Page):
    """The keepers by points."""

    nav = "keepers"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Every keeper with its score parts as they stand now; two queries."""
        rows = list(get_keepers().order_by("-points", "address").defer("bls_public_key", "contact"))
        leases = count_open_leases()
        now = get_database_now()
        return self.show(
            "keepers.html",
            keepers=[_shown(row, leases[row.address], now) for row in rows],
            online=sum(row.online for row in rows),
            weights=WEIGHTS,
        )


def _shown(keeper: Keeper, open_leases: int, now: Any) -> dict[str, Any]:
    parts = compute_parts(keeper.value, keeper.capabilities, open_leases)
    total = sum(WEIGHTS[name] * value for name, value in parts.items()) / 100
    seen = keeper.last_checkin_at
    return {
        "address": keeper.address,
        "name": keeper.name,
        "version": keeper.version,
        "status": keeper.status,
        "is_online": keeper.online,
        "seen_at": to_rfc3339(seen) if seen else None,
        "seen_seconds": (now - seen).total_seconds() if seen else None,
        "points": keeper.points,
        "reputation": keeper.reputation,
        "stake_units": keeper.stake_units,
        "confirmed": keeper.tasks_confirmed,
        "failed": keeper.tasks_failed,
        "latency_ms": keeper.latency_ms_ewma,
        "capabilities": keeper.capabilities,
        "open_leases": open_leases,
        "score": total / MILLION,
        "parts": [{"name": name, "value": value / MILLION} for name, value in parts.items()],
    }
