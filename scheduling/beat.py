"""What beat starts and how often; the database scheduler takes these over, and the admin may edit them.

Every message expires before its next one is due, so a worker that was away finds no pile of them.
"""

from typing import Any, Final

from project.env import Settings

_QUEUE: Final = "stages"


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
        "jobs-price": ("scheduling.sweeps.jobs_unpriced", 10),
        "jobs-expire": ("scheduling.sweeps.jobs_expired", settings.jobs.sweep_seconds),
    }
    return {
        name: {
            "task": task,
            "schedule": float(seconds),
            "options": {"queue": _QUEUE, "expires": max(2 * seconds, 2)},
        }
        for name, (task, seconds) in every.items()
    }
