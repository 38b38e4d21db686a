"""Who performs a task: filters first, then the highest score.

Score = 0.40 performance + 0.30 load + 0.20 reputation + 0.10 specialization, each in [0, 1], kept in
whole millionths so that the card says exactly what decided. Ties go to the least recently assigned,
then to the lowest address.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from apps.keepers.data import KeeperValue

MILLION: Final = 1_000_000
#: weights in hundredths
WEIGHTS: Final[Mapping[str, int]] = {
    "performance": 40,
    "load": 30,
    "reputation": 20,
    "specialization": 10,
}
_REPUTATION_MAX: Final = 10_000
#: a mean latency of this halves the speed part; a keeper with this many open leases has half its load part
_LATENCY_HALF_MS: Final = 5_000
_LOAD_HALF: Final = 4
#: so much work may lie in a keeper's queue: it also re-executes for others, and must answer in time
_QUEUED_MS: Final = 6_000
#: a keeper that has not begun on an offer for so long is given no more until it has
BACKLOG_SECONDS: Final = 2
_WINDOW_MIN: Final = 2
_WINDOW_MAX: Final = 64
_WINDOW_UNMEASURED: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a task asks of its performer."""

    capabilities: frozenset[str]
    min_stake_units: int
    min_version: tuple[int, ...] = ()
    allowed: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()


def compute_demand(spec: Mapping[str, Any], *, min_stake_units: int, excluded: frozenset[str]) -> Demand:
    """What the specification asks of its performer."""
    wanted: set[str] = set()
    if spec["script"]:
        wanted.add(spec["script"]["language"])
    if spec["action"]:
        wanted.add(f"chain:{spec['action']['chain_id']}")
    return Demand(capabilities=frozenset(wanted), min_stake_units=min_stake_units, excluded=excluded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The chosen keeper and why."""

    address: str
    card: dict[str, Any]


def choose_keeper(
    keepers: Iterable[KeeperValue],
    demand: Demand,
    open_leases: Mapping[str, int],
    assigned_at: Mapping[str, datetime],
) -> Choice | None:
    """Return the best keeper for the demand with its score card, or None where no keeper with room qualifies.

    `open_leases` and `assigned_at` are the state at this moment of the pass: the caller moves them on
    after every choice, so that one set of tasks spreads.
    """
    scored = sorted(
        (
            (-_total(parts), _assigned(assigned_at, keeper), keeper.address, parts)
            for keeper in keepers
            if compute_room(keeper, open_leases.get(keeper.address, 0)) and is_eligible(keeper, demand)
            for parts in (compute_parts(keeper, demand.capabilities, open_leases.get(keeper.address, 0)),)
        ),
        key=lambda row: row[:3],
    )
    if not scored:
        return None
    best, *others = scored
    card: dict[str, Any] = {"score": -best[0], "parts": best[3], "candidates": len(scored)}
    if others:
        card["runner_up"] = {"keeper": others[0][2], "score": -others[0][0], "parts": others[0][3]}
    return Choice(address=best[2], card=card)


def is_eligible(keeper: KeeperValue, demand: Demand) -> bool:
    """Whether the keeper passes every filter."""
    return (
        keeper.is_online
        and keeper.is_registered
        and keeper.address not in demand.excluded
        and (not demand.allowed or keeper.address in demand.allowed)
        and keeper.stake_units >= demand.min_stake_units
        and version_tuple(keeper.version) >= demand.min_version
        and all(name in keeper.capabilities for name in demand.capabilities if ":" not in name)
    )


def compute_window(keeper: KeeperValue) -> int:
    """How many leases the keeper may hold at once: some seconds of its measured work.

    What does not fit waits as a row. Beyond this, offers would grow old in the keeper's queue, be given to
    others, and be executed all the same: an overload that feeds itself.
    """
    if not keeper.latency_ms:
        return _WINDOW_MAX if keeper.tasks_confirmed else _WINDOW_UNMEASURED
    return max(_WINDOW_MIN, min(_QUEUED_MS // keeper.latency_ms, _WINDOW_MAX))


def compute_room(keeper: KeeperValue, open_leases: int) -> int:
    """How many more leases the keeper may be given now."""
    return max(compute_window(keeper) - open_leases, 0)


def compute_parts(keeper: KeeperValue, wanted: Collection[str], open_leases: int) -> dict[str, int]:
    """Each part of the score in millionths.

    performance = 0.8 · success rate (one success assumed) + 0.2 · speed, speed = 1 / (1 + latency / 5 s);
    load = 1 / (1 + open leases / 4); reputation = reputation / 10,000; specialization = the share of
    the wanted capabilities the keeper declares, `kind:detail` ones included.
    """
    success = (keeper.tasks_confirmed + 1) * MILLION // (keeper.tasks_confirmed + keeper.tasks_failed + 1)
    speed = _LATENCY_HALF_MS * MILLION // (_LATENCY_HALF_MS + keeper.latency_ms)
    has = sum(1 for name in wanted if name in keeper.capabilities)
    return {
        "performance": (8 * success + 2 * speed) // 10,
        "load": _LOAD_HALF * MILLION // (_LOAD_HALF + open_leases),
        "reputation": min(keeper.reputation, _REPUTATION_MAX) * MILLION // _REPUTATION_MAX,
        "specialization": has * MILLION // len(wanted) if wanted else MILLION,
    }


def version_tuple(text: str) -> tuple[int, ...]:
    """`1.4.2` as (1, 4, 2); anything after the first part that is no number is ignored."""
    parts: list[int] = []
    for part in text.split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return tuple(parts)


def _total(parts: Mapping[str, int]) -> int:
    return sum(WEIGHTS[name] * value for name, value in parts.items()) // 100


def _assigned(assigned_at: Mapping[str, datetime], keeper: KeeperValue) -> float:
    moment = assigned_at.get(keeper.address)
    return moment.timestamp() if moment else 0.0
