"""What is watched: every condition in one table, every distinct source once, and what the sources last said.

Kept in step with the database: jobs that came, changed or went, and what is remembered of their conditions.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.triggers.data import (
    PickFault,
    Source,
    decide,
    decimal_text,
    kind_of,
    pick_number,
    shown_url,
    source_key,
)
from apps.triggers.domain.vectors import Table
from apps.watching.asking import Answer
from apps.watching.conditions import ConditionMove, Known, Observation, WatchedCondition


@dataclass(slots=True)
class WatchedSource:
    """One distinct source: who reads it, which routes, and what it last said."""

    key: str
    source: Source
    project_id: UUID
    readers: set[UUID] = field(default_factory=set)
    routes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    answer: Answer | None = None
    picks: dict[str, Decimal | PickFault] = field(default_factory=dict)
    failures: int = 0

    def observation(self) -> Observation | None:
        """What it last said, as it is kept."""
        if self.answer is None:
            return None
        return Observation(
            key=self.key,
            kind=str(kind_of(self.source)),
            url=shown_url(self.source),
            at=self.answer.at,
            values={route: decimal_text(v) for route, v in self.picks.items() if isinstance(v, Decimal)},
            faults={route: v.code for route, v in self.picks.items() if isinstance(v, PickFault)},
            fault=self.answer.fault.code if self.answer.fault else "",
        )


class Board:
    """The whole of it, in one process's memory; rebuilt from the database at any time."""

    def __init__(self, *, is_on_device: bool = False) -> None:
        self.table = Table(prefers_device=is_on_device)
        self.jobs: dict[UUID, WatchedCondition] = {}
        self.keys: dict[UUID, dict[str, str]] = {}
        self.sources: dict[str, WatchedSource] = {}
        self.known: dict[UUID, Known] = {}
        #: when a level that is met may fire again
        self.again: dict[UUID, datetime] = {}

    def stale(self, versions: Mapping[UUID, tuple[int, datetime]]) -> list[UUID]:
        """The jobs to read again: new ones, and those with another version or armed anew."""
        return [
            job_id
            for job_id, seen in versions.items()
            if job_id not in self.jobs or (self.jobs[job_id].version, self.jobs[job_id].armed_at) != seen
        ]

    def put(self, job: WatchedCondition) -> None:
        """Watch a condition, in place of what was watched for its job."""
        self.drop(job.job_id)
        keys: dict[str, str] = {}
        for name, source in job.condition.sources:
            key = keys[name] = source_key(source, job.project_id)
            watched = self.sources.get(key)
            if watched is None:
                watched = self.sources[key] = WatchedSource(key=key, source=source, project_id=job.project_id)
            watched.readers.add(job.job_id)
        for leaf in job.condition.leaves:
            watched = self.sources[keys[leaf.source]]
            watched.routes[leaf.route] += 1
            if watched.answer is not None and leaf.route not in watched.picks:
                watched.picks[leaf.route] = _pick(watched.answer, leaf.route)
        self.jobs[job.job_id], self.keys[job.job_id] = job, keys
        self.known[job.job_id] = job.known
        self.table.add(str(job.job_id), job.condition, keys, latched=job.known.latched)
        self.table.update(
            {(key, route): value for key in keys.values() for route, value in self.sources[key].picks.items()}
        )

    def drop(self, job_id: UUID) -> None:
        """Watch a job's condition no longer; a source that nobody reads goes with it."""
        job = self.jobs.pop(job_id, None)
        if job is None:
            return
        keys = self.keys.pop(job_id)
        for leaf in job.condition.leaves:
            watched = self.sources[keys[leaf.source]]
            watched.routes[leaf.route] -= 1
            if not watched.routes[leaf.route]:
                del watched.routes[leaf.route]
                watched.picks.pop(leaf.route, None)
        for key in keys.values():
            watched = self.sources[key]
            watched.readers.discard(job_id)
            if not watched.readers:
                del self.sources[key]
        self.known.pop(job_id, None)
        self.again.pop(job_id, None)
        self.table.remove(str(job_id))

    def take(self, key: str, answer: Answer) -> bool:
        """Take what a source said; whether any picked value is another."""
        watched = self.sources.get(key)
        if watched is None:
            return False
        watched.failures = watched.failures + 1 if answer.fault else 0
        before, watched.answer = watched.picks, answer
        if answer.is_same and before:
            return False
        watched.picks = {route: _pick(answer, route) for route in watched.routes}
        changed = {
            (key, route): value for route, value in watched.picks.items() if before.get(route) != value
        }
        self.table.update(changed)
        return bool(changed)

    def evaluate(self, now: datetime) -> list[ConditionMove]:
        """Evaluate what changed, and the levels whose pause is over; what is to be remembered or fired."""
        evaluated = self.table.evaluate()
        turned = {UUID(key): truth for key, truth in evaluated.turned.items()}
        over = [job_id for job_id, at in self.again.items() if at <= now]
        wanted = {*turned, *(UUID(key) for key in evaluated.latched), *over}
        moves = [self._move(job_id, now) for job_id in wanted if job_id in self.jobs]
        return [move for move in moves if move is not None]

    def remember(self, known: Mapping[UUID, Known]) -> None:
        """Take over what the database now says of these conditions."""
        self.known.update({job_id: each for job_id, each in known.items() if job_id in self.jobs})

    def _move(self, job_id: UUID, now: datetime) -> ConditionMove | None:
        job, before = self.jobs[job_id], self.known[job_id]
        truth, latched = self.table.truth_of(str(job_id)), self.table.latched_of(str(job_id))
        decision = decide(
            fires=job.condition.fires,
            was_met=before.is_met,
            is_met=truth,
            last_fired_at=before.last_fired_at,
            repeat_seconds=job.condition.repeat_seconds,
            now=now,
        )
        if decision.again_at is None:
            self.again.pop(job_id, None)
        else:
            self.again[job_id] = decision.again_at
        if not decision.fires and decision.is_met == before.is_met and latched == before.latched:
            return None
        return ConditionMove(
            job_id=job_id,
            armed_at=job.armed_at,
            before=before,
            is_met=decision.is_met,
            latched=latched,
            fires=decision.fires,
            evidence=self._evidence(job_id, before) if decision.fires else {},
        )

    def _evidence(self, job_id: UUID, before: Known) -> dict[str, Any]:
        """What every source of the job said, with its time, and what was latched before."""
        routes: dict[str, set[str]] = defaultdict(set)
        for leaf in self.jobs[job_id].condition.leaves:
            routes[leaf.source].add(leaf.route)
        observations: dict[str, Any] = {}
        for name, key in self.keys[job_id].items():
            seen = self.sources[key].observation()
            if seen is not None:
                observations[name] = {
                    "at": seen.at.isoformat().replace("+00:00", "Z"),
                    "kind": seen.kind,
                    "url": seen.url,
                    "values": {
                        route: seen.values[route] for route in sorted(routes[name]) if route in seen.values
                    },
                }
        return {"latched": before.latched, "observations": observations}


def observations_of(sources: Iterable[WatchedSource]) -> list[Observation]:
    """What these sources last said, of those that said anything."""
    return [seen for source in sources if (seen := source.observation()) is not None]


def _pick(answer: Answer, route: str) -> Decimal | PickFault:
    return answer.fault if answer.fault is not None else pick_number(route, answer.document)
