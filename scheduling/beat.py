"""What beat starts and how often; the database scheduler takes these over, and the admin may edit them.

Every message expires before its next one is due, so a worker that was away finds no pile of them.
"""

from typing import Any, Final

from project.env import Settings

_QUEUE: Final = "stages"
#: what asks or tells the outside has a worker of its own
_OUTSIDE_QUEUE: Final = "notices"
_OUTSIDE: Final = ("workers.notices.", "scheduling.conditions.")


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Name → entry, as Celery's `beat_schedule` wants them."""
    every: Final = {
        "stages-sweep": ("workers.stages.sweep", settings.stages.sweep_seconds),
        "keepers-sweep-offline": ("scheduling.sweeps.keepers_offline", settings.keepers.check_in_seconds),
        "keepers-refresh-stakes": ("scheduling.sweeps.keepers_stakes", 600),
        "keepers-decay-reputation": ("scheduling.sweeps.keepers_reputation", 3_600),
        "commitments-purge": ("scheduling.sweeps.commitments_over", 3_600),
        "idempotency-purge": ("scheduling.sweeps.idempotency_over", 3_600),
        "deposits-credit": ("scheduling.sweeps.deposits_paid_in", settings.chain.audit_seconds),
        "jobs-look-ahead": ("scheduling.ticks.look_ahead", settings.jobs.sweep_seconds),
        "firings-purge": ("scheduling.ticks.firings_over", 3_600),
        "events-catch-up": ("scheduling.events.catch_up", settings.triggers.catch_up_seconds),
        "conditions-poll": ("scheduling.conditions.poll", settings.triggers.catch_up_seconds),
        "sources-purge": ("scheduling.conditions.sources_over", 3_600),
        "sightings-purge": ("scheduling.events.sightings_over", 3_600),
        "jobs-price": ("scheduling.sweeps.jobs_unpriced", 10),
        "jobs-expire": ("scheduling.sweeps.jobs_expired", settings.jobs.sweep_seconds),
        "notices-sweep": ("workers.notices.sweep", settings.notices.sweep_seconds),
        "notices-purge": ("workers.notices.purge", 3_600),
    }
    return {
        name: {
            "task": task,
            "schedule": float(seconds),
            "options": {
                "queue": _OUTSIDE_QUEUE if task.startswith(_OUTSIDE) else _QUEUE,
                "expires": max(2 * seconds, 2),
            },
        }
        for name, (task, seconds) in every.items()
    }
