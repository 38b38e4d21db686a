"""Running ahead in words: the decision's checks, proofs, bonds, why things are undone and what follows.

Written for whoever wrote the job: what was seen, what is allowed, and what would have to change.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

#: verdict → what it means
VERDICT_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ready": "Everything it stands on is confirmed: it starts without running ahead.",
        "ahead": "It may start on results that are not confirmed yet, under its keeper's bond.",
        "wait": "It may not start yet: the first check that is not met is the reason.",
    }
)

#: proof status → (symbol, what it means)
PROOF_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "queued": ("◔", "waits for a free prover, or for its next try"),
        "generating": ("∴", "a prover is making it"),
        "generated": ("∎", "made and verified; only a free submission is missing"),
        "awaiting_ancestors": ("‖", "made and verified; submitted when everything it stands on is confirmed"),
        "submitting": ("⇡", "on its way to the chain"),
        "confirmed": ("✓", "the hub's verifier took it"),
        "failed": ("✕", "could not be made, or was refused"),
        "timed_out": ("⊗", "its patience is over"),
        "cancelled": ("⊘", "its attempt ended before it was needed"),
    }
)

#: commitment status → (symbol, what became of its bond)
COMMITMENT_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "open": ("◑", "the bond is locked while the keeper works"),
        "fulfilled": ("◕", "the result is there; the bond stays locked until it is confirmed"),
        "confirmed": ("✓", "the bond went back in full"),
        "rolled_back": ("↺", "something it stood on failed or was stopped; the bond went back in full"),
        "failed": ("✕", "its own attempt failed; a part of the bond was slashed"),
    }
)

#: failure reason → why an attempt was undone
REASON_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "proof_rejected": "its proof was refused where it is verified",
        "proof_generation_failed": "no proof could be made of its result",
        "result_rejected": "its committee, or its own receipt, contradicts its result",
        "timeout": "it, its proof or its submission took too long",
        "claim_expired": "its keeper did not answer before its lease ran out",
        "not_acknowledged": "its keeper did not begin in time",
        "execution_failed": "its script ended in an error",
        "no_quorum": "its committee could not agree, twice",
        "resources_exhausted": "its keeper ran out of memory, time slices or space",
        "submission_refused": "the hub did not take it, however often it was sent",
        "invalid_state": "what is recorded about it contradicts itself",
        "ancestor_failed": "something it stands on failed",
        "manual": "a person stopped it",
    }
)

#: recovery → what follows a failure; the empty one is that of a signal about something that was over
RECOVERY_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "nothing: the signal was about something that was over",
        "re_execute": "the same work again, with a new proof",
        "wait_for_ancestor": "nothing by itself: it comes back with what it stood on",
        "extend_timeout": "the same work again, with more time",
        "queue_later": "the same work again, later",
        "rediscover": "the whole subtree again, from the beginning",
        "give_up": "nothing: a person may replay its dead letter",
    }
)

#: rollback phase → (symbol, what it means)
PHASE_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "detecting": ("◔", "a failure was signalled"),
        "initiating": ("◑", "the cascade is being planned"),
        "propagating": ("▶", "the cascade is being applied"),
        "cleaning": ("◕", "applied; running work and proofs are being stopped"),
        "logging": ("◈", "stopped; its figures are being counted"),
        "complete": ("✓", "nothing is left to do"),
        "dismissed": ("⊘", "it was about something that was over"),
    }
)


def describe_finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded check with its words: `question`, `seen`, `allowed`; its own members stay as they are."""
    question, describe = _CHECKS[finding["check"]]
    seen, allowed = describe(finding["observed"], finding["limit"])
    return {**finding, "question": question, "seen": seen, "allowed": allowed}


def _enabled(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    del limit
    off_by = seen["switched_off_by"]
    return (f"switched off by the {off_by}" if off_by else "on", "on for network, project and job")


def _ancestors(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    del limit
    unconfirmed, unfit = seen["unconfirmed"], seen["unfit"]
    said = f"{unconfirmed} unconfirmed" if unconfirmed else "all confirmed"
    if unfit:
        said += f", {unfit} of them not under way ({seen['ancestor']} is {seen['standing']})"
    return said, "none that failed, is missing or has yet to start"


def _cycle(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    del limit
    return seen["cycle"] or "no cycle", "none"


def _edges(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    count = seen["resource_edges"]
    said = f"{count} to unconfirmed steps ({seen['parent']})" if count else "none to unconfirmed steps"
    return said, f"{limit['resource_edges']} resource edges"


def _depth(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    return f"depth {seen['depth']}", f"at most {limit['max_depth']}"


def _branches(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    return f"{seen['running_children']} under way", f"fewer than {limit['max_branches']}"


def _lease(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    left = seen["left_milliseconds"]
    said = "no keeper can take it now" if left is None else f"{left / 1_000:.1f} s"
    return said, f"more than {limit['more_than_milliseconds'] / 1_000:.1f} s"


def _bond(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    free = seen["free_units"]
    free_said = "no keeper can take it now" if free is None else f"{_grouped(free)} units free"
    said = f"{free_said}; {_grouped(seen['at_risk_units'])} at risk in the network with it"
    allowed = (
        f"a bond of {_grouped(limit['bond_units'])} units; at most {_grouped(limit['max_at_risk_units'])}"
    )
    return said, f"{allowed} at risk"


def _reputation(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    reputation = seen["reputation"]
    said = "no keeper can take it now" if reputation is None else _grouped(reputation)
    return said, f"at least {_grouped(limit['min_reputation'])}"


def _rollback_rate(seen: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[str, str]:
    said = f"{seen['undone']} of {seen['ended']} undone; breaker {seen['breaker'].replace('_', ' ')}"
    return said, f"at most {limit['max_undone_percent']} %, counted from {limit['min_ended']} on"


def _grouped(number: int | str) -> str:
    return f"{int(number):,}".replace(",", "\u202f")


Describe = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[str, str]]

#: check → (what is asked, how what was seen and what is allowed are said)
_CHECKS: Final[Mapping[str, tuple[str, Describe]]] = MappingProxyType(
    {
        "enabled": ("Is running ahead switched on?", _enabled),
        "ancestors": ("Is everything unconfirmed it stands on under way?", _ancestors),
        "cycle": ("Is it free of a cycle?", _cycle),
        "edges": ("Do its edges allow it?", _edges),
        "depth": ("Is the unconfirmed path above it short enough?", _depth),
        "branches": ("Has its parent room for one more child?", _branches),
        "lease": ("Would its lease leave enough time?", _lease),
        "bond": ("Can its keeper put up the bond?", _bond),
        "reputation": ("Is its keeper reputable enough?", _reputation),
        "rollback_rate": ("Is little enough undone lately?", _rollback_rate),
    }
)
