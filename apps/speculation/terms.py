"""What this deployment says about running ahead: its settings as the values the rules take."""

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

from django.conf import settings

from apps.jobs.models import Job
from apps.speculation.domain.bonds import BondForm, BondTerms
from apps.speculation.domain.breaker import BreakerTerms
from apps.speculation.domain.case import Terms
from apps.speculation.domain.limits import Choice, Limits, Mode, resolve_limits


def get_bond_terms() -> BondTerms:
    """How bonds grow. Raises BondTermsInvalid."""
    ahead = settings.FOREKEEP.speculation
    return _bond_terms(
        ahead.bond_form, ahead.bond_base_units, ahead.bond_growth_percent, ahead.bond_step_units
    )


def get_breaker_terms() -> BreakerTerms:
    """When speculation switches itself off, and on again."""
    ahead = settings.FOREKEEP.speculation
    return BreakerTerms(
        max_undone_percent=ahead.rollback_rate_percent,
        window_seconds=ahead.rollback_window_seconds,
        min_ended=ahead.rollback_min_ended,
        cooldown_seconds=ahead.breaker_cooldown_seconds,
        probes=ahead.breaker_probes,
    )


def get_network_choice() -> Choice:
    """What the network says. Depth and branches count where the mode is custom."""
    ahead = settings.FOREKEEP.speculation
    mode = Mode(ahead.mode)
    is_custom = mode is Mode.CUSTOM
    return Choice(
        is_enabled=ahead.is_enabled,
        mode=mode,
        max_depth=ahead.max_depth if is_custom else None,
        max_branches=ahead.max_branches if is_custom else None,
    )


def get_terms(jobs: Collection[Job], *, is_backed_up: bool = False) -> dict[Job, Terms]:
    """What each job's tasks are decided by; the jobs come with their projects at hand.

    With too much under way the backlog switches speculation off for all of them.
    """
    ahead = settings.FOREKEEP.speculation
    network, bonds, breaker = get_network_choice(), get_bond_terms(), get_breaker_terms()
    return {
        job: Terms(
            limits=_held_back(
                is_backed_up,
                resolve_limits(
                    network=network,
                    project=job.project.speculation_choice,
                    job=job.speculation_choice,
                    lease_buffer_seconds=ahead.lease_buffer_seconds,
                    min_reputation=ahead.min_reputation,
                    max_at_risk_units=ahead.max_at_risk_units,
                ),
            ),
            bonds=bonds,
            breaker=breaker,
        )
        for job in jobs
    }


def _held_back(is_backed_up: bool, limits: Limits) -> Limits:
    return replace(limits, off_by="backlog") if is_backed_up and limits.is_enabled else limits


@lru_cache(maxsize=8)
def _bond_terms(form: str, base_units: int, growth_percent: int, step_units: int) -> BondTerms:
    return BondTerms(
        form=BondForm(form), base_units=base_units, growth_percent=growth_percent, step_units=step_units
    )
