"""Every state of the small model, breadth first, with the numbered invariants asked of each.

    python -m tests.model.explorer [--states 1000000] [--seed 1]

Settings (a DAG of at most four tasks, its edge kinds, the limits) are drawn from a seed; each is
explored to its end, so what is reported about it holds for all its interleavings. A state is one
integer; what a rule answers is computed once for each thing it can be asked and looked up afterwards. A
broken invariant ends it with the way there.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.speculation.data import UNDER_WAY, FailureReason, Standing
from apps.tasks.data import TaskStatus
from tests.model.checking import (
    Violated,
    ancestors_of,
    check_admission,
    check_cascade,
    parents_of,
    require,
    require_move,
)
from tests.model.drawing import draw_setting
from tests.model.world import (
    FAILURES,
    WORDS,
    Attempt,
    Setting,
    State,
    admit,
    fail,
    hear_keeper,
    hear_word,
    plan_failure,
    record,
    retry,
    start,
    submit,
)

_BITS: Final = 14
_MASK: Final = (1 << _BITS) - 1
_FINAL: Final = 4
_STANDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What one setting came to."""

    states: int
    transitions: int
    is_complete: bool


class Explorer:
    """All states of one setting."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.size = len(setting.parents)
        self.parents = parents_of(setting)
        self.above = ancestors_of(self.parents)
        #: a task and everything that stands on it
        self.reach = [(n, *(k for k in range(self.size) if n in self.above[k])) for n in range(self.size)]
        self.values: list[Attempt] = []
        self._ids: dict[Attempt, int] = {}
        self._known: list[dict[Any, Any]] = [{} for _ in range(7)]
        self._shapes: dict[Any, int] = {}
        self._admission_shape: list[int] = []
        self._cascade_shape: list[int] = []
        self._retry_shape: list[int] = []
        self._places = [_BITS * n for n in range(self.size)]
        #: by attempt: what to ask for it, and the facts the invariants of a state are asked of
        self._asks: list[Callable[[int, int, Sequence[int]], list[int]] | None] = []
        self._failed: list[bool] = []
        self._epochs: list[int] = []
        self._facts: list[int] = []
        self._sound: set[int] = set()

    def explore(self, limit: int = 10**9) -> Explored:
        """Walk the states, at most `limit`; raise Violated with the way to the first that breaks anything."""
        first = self.pack(start(self.setting), self.setting.faults)
        came_from: dict[int, int] = {first: -1}
        frontier, transitions = [first], 0
        while frontier:
            following: list[int] = []
            for state in frontier:
                try:
                    for successor in self.successors(state):
                        transitions += 1
                        if successor not in came_from:
                            came_from[successor] = state
                            following.append(successor)
                except Violated as exc:
                    raise Violated(exc.invariant, str(exc), self._trace(came_from, state)) from None
            frontier = following
            if len(came_from) >= limit:
                break
        return Explored(states=len(came_from), transitions=transitions, is_complete=not frontier)

    def successors(self, packed: int) -> list[int]:
        """Every state one happening away, after asking the invariants of this one."""
        ids = [packed >> place & _MASK for place in self._places]
        faults = packed >> (_BITS * self.size)
        self._check_state(ids)
        found: list[int] = []
        for n, own in enumerate(ids):
            place = self._places[n]
            for new in self._once(0, (n, own), self._hear, n, own):
                found.append(packed + ((new - own) << place))
            ask = self._asks[own]
            if ask is not None:
                for new in ask(n, own, ids):
                    found.append(packed + ((new - own) << place))
            elif self._failed[own]:
                asked = (n, self._shape(self._retry_shape, ids))
                for patch in self._once(4, asked, self._retry, n, ids):
                    found.append(packed + self._delta(ids, patch))
        if not found:
            self._check_end(ids)
        if faults:
            less = packed - (1 << (_BITS * self.size))
            for n, reach in enumerate(self.reach):
                key = (n, *[self._cascade_shape[ids[k]] for k in reach])
                for patch in self._once(5, key, self._fail, n, ids):
                    found.append(less + self._delta(ids, patch))
        return found

    def pack(self, state: State, faults: int) -> int:
        """A state as one integer."""
        return sum(self.intern(own) << (_BITS * n) for n, own in enumerate(state)) + (
            faults << (_BITS * self.size)
        )

    def intern(self, own: Attempt) -> int:
        """An attempt as a number."""
        known = self._ids.get(own)
        if known is not None:
            return known
        assert len(self.values) < _MASK
        self._ids[own] = len(self.values)
        self.values.append(own)
        self._admission_shape.append(self._number(("admit", own.standing, own.bond_units)))
        self._cascade_shape.append(self._number(("fail", own.status, own.bond_units, own.failures)))
        self._retry_shape.append(self._number(("retry", own.status, own.fate, own.failures)))
        self._asks.append(self._ask_for(own))
        self._failed.append(own.status is TaskStatus.FAILED)
        self._epochs.append(own.epoch)
        self._facts.append(_fact_of(own))
        require(own.bond_units == 0 or own.standing in UNDER_WAY, 3, f"a bond that outlives its work: {own}")
        return self._ids[own]

    def _ask_for(self, own: Attempt) -> Callable[[int, int, Sequence[int]], list[int]] | None:
        if own.status in (TaskStatus.SCHEDULED, TaskStatus.EXECUTING):
            return self._ask_to_record
        if own.status in (TaskStatus.DISCOVERED, TaskStatus.WAITING):
            return self._ask_to_start
        if own.status in (TaskStatus.PROVED, TaskStatus.WAITING_ANCESTORS):
            return self._ask_to_submit
        return None

    def _ask_to_record(self, n: int, own: int, ids: Sequence[int]) -> list[int]:
        return self._once(1, (n, own, *[ids[p] for p in self.parents[n]]), self._record, n, ids)

    def _ask_to_start(self, n: int, own: int, ids: Sequence[int]) -> list[int]:
        shape = self._shape(self._admission_shape, ids)
        return self._once(2, (n, own, shape, *[ids[p] for p in self.parents[n]]), self._admit, n, ids)

    def _ask_to_submit(self, n: int, own: int, ids: Sequence[int]) -> list[int]:
        return self._once(3, (own, *[ids[k] for k in self.above[n]]), self._submit, n, ids)

    def _once(self, table: int, key: Any, compute: Callable[..., Any], *arguments: Any) -> Any:
        known = self._known[table]
        if key not in known:
            known[key] = compute(*arguments)
        return known[key]

    def _number(self, shape: Any) -> int:
        return self._shapes.setdefault(shape, len(self._shapes))

    def _shape(self, shapes: Sequence[int], ids: Sequence[int]) -> int:
        packed = 0
        for own in ids:
            packed = packed << _BITS | shapes[own]
        return packed

    def _state(self, ids: Sequence[int]) -> State:
        return tuple(self.values[own] for own in ids)

    def _hear(self, n: int, own_id: int) -> list[int]:
        """Every word about any attempt so far; only the current attempt's may move anything (11, 12, 13)."""
        own = self.values[own_id]
        found: list[Attempt] = []
        for epoch in range(1, own.epoch + 1):
            heard = [hear_word(own, word, epoch) for word in WORDS]
            if own.status is not TaskStatus.EXECUTING:
                heard.append(hear_keeper(own, n, epoch, is_receipt=False))
            if own.standing not in (Standing.SCHEDULED, Standing.EXECUTING):
                repeated = hear_keeper(own, n, epoch, is_receipt=True)
                require(repeated == own, 12, f"a receipt for attempt {epoch} moved {own}")
            moved = [new for new in heard if new != own]
            require(epoch == own.epoch or not moved, 12, f"a word about attempt {epoch} moved {own}")
            found.extend(moved)
            self._check_stale_failures(own, n, epoch)
        for new in found:
            require_move(own, new)
        return [self.intern(new) for new in found]

    def _check_stale_failures(self, own: Attempt, n: int, epoch: int) -> None:
        state = [Attempt()] * self.size
        state[n] = own
        is_over = epoch < own.epoch or own.standing in (Standing.DEAD, Standing.CONFIRMED)
        if is_over:
            plan = plan_failure(self.setting, tuple(state), n, epoch, FailureReason.TIMEOUT)
            require(plan is None, 12, f"a failure of attempt {epoch} moved {own}")

    def _record(self, n: int, ids: Sequence[int]) -> list[int]:
        state = self._state(ids)
        own = state[n]
        for epoch in range(1, own.epoch):
            require(record(self.setting, state, n, epoch) == own, 12, f"a late receipt moved {own}")
        new = record(self.setting, state, n, own.epoch)
        if new == own:
            return []
        require_move(own, new)
        return [self.intern(new)]

    def _admit(self, n: int, ids: Sequence[int]) -> list[int]:
        state = self._state(ids)
        own, new = state[n], admit(self.setting, state, n)
        if new == own:
            return []
        require_move(own, new)
        if new.status is TaskStatus.SCHEDULED:
            check_admission(self.setting, state, n, new)
        return [self.intern(new)]

    def _submit(self, n: int, ids: Sequence[int]) -> list[int]:
        state = self._state(ids)
        own, new = state[n], submit(state[n], [state[k].standing for k in self.above[n]])
        if new == own:
            return []
        require_move(own, new)
        return [self.intern(new)]

    def _retry(self, n: int, ids: Sequence[int]) -> list[tuple[tuple[int, int], ...]]:
        state = self._state(ids)
        if not state[n].fate.is_retried:
            return []
        after = retry(self.setting, state, n)
        for before, new in zip(state, after, strict=True):
            is_opened = before.standing is Standing.DEAD and new.status is TaskStatus.WAITING
            require(before == new or is_opened, 13, f"a retry made {new} of {before}")
        return [self._patch(state, after)] if after != state else []

    def _fail(self, n: int, ids: Sequence[int]) -> list[tuple[tuple[int, int], ...]]:
        state = self._state(ids)
        found: dict[tuple[tuple[int, int], ...], None] = {}
        for reason in FAILURES.get(state[n].status, ()):
            plan = plan_failure(self.setting, state, n, state[n].epoch, reason)
            require(plan is not None, 12, f"a failure of the current attempt of {n} is not heard")
            after = fail(self.setting, state, plan)
            check_cascade(self.setting, n, state, after, plan)
            found[self._patch(state, after)] = None
        return list(found)

    def _patch(self, before: State, after: State) -> tuple[tuple[int, int], ...]:
        """What changed, as (task, its attempt without its epoch)."""
        return tuple(
            (n, self.intern(new._replace(epoch=0)))
            for n, (old, new) in enumerate(zip(before, after, strict=True))
            if new != old
        )

    def _delta(self, ids: Sequence[int], patch: Sequence[tuple[int, int]]) -> int:
        """What a patch adds to a packed state; the epochs stay the state's own."""
        total = 0
        for n, new in patch:
            own = ids[n]
            total += self._once(6, own << _BITS | new, self._patched, own, new) - own << (_BITS * n)
        return total

    def _patched(self, own: int, new: int) -> int:
        return self.intern(self.values[new]._replace(epoch=self.values[own].epoch))

    def _check_state(self, ids: Sequence[int]) -> None:
        """Invariants 6, 7 and 15, and that whatever is under way stands on its parents' present attempts."""
        facts = 0
        for n, own in enumerate(ids):
            facts = facts << 4 | self._facts[own]
            if self._facts[own] & _STANDS:
                base = tuple([self._epochs[ids[p]] for p in self.parents[n]])
                require(base == self.values[own].base, 7, f"{n} stands on attempts that are over")
        if facts in self._sound:
            return
        state = self._state(ids)
        for n, attempt in enumerate(state):
            for k in self.above[n]:
                status, number = state[k].status, 6 if attempt.status is TaskStatus.CONFIRMED else 15
                is_early = self._facts[ids[n]] & _FINAL and status is not TaskStatus.CONFIRMED
                require(not is_early, number, f"{n} is {attempt.status} before {k} is confirmed")
                is_orphan = state[k].standing is Standing.DEAD and attempt.standing is not Standing.DEAD
                require(not is_orphan, 7, f"{n} lives under {k}, which is {status}")
        self._sound.add(facts)

    def _check_end(self, ids: Sequence[int]) -> None:
        """Where nothing more happens by itself everything has ended, for good or with what it stands on."""
        state = self._state(ids)
        for n, own in enumerate(state):
            is_ended = own.standing in (Standing.CONFIRMED, Standing.DEAD)
            require(is_ended, 18, f"{n} is {own.status} and nothing wakes it")
            above = [state[k].fate.is_final for k in self.above[n] if state[k].standing is Standing.DEAD]
            is_held = own.standing is Standing.CONFIRMED or own.fate.is_final or any(above)
            require(is_held, 18, f"{n} is {own.status} and is never tried again")

    def _trace(self, came_from: dict[int, int], state: int) -> Iterator[str]:
        way = []
        while state >= 0:
            ids = [state >> (_BITS * n) & _MASK for n in range(self.size)]
            shown = (f"{own.status}#{own.epoch}" for own in self._state(ids))
            way.append("  " + "  ".join(f"{text:<20}" for text in shown))
            state = came_from[state]
        return reversed(way)


def main() -> None:
    """Explore settings until there were enough states."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, began = random.Random(options.seed), time.monotonic()
    states = transitions = 0
    drawn: set[Setting] = set()
    while states < options.states:
        setting = draw_setting(rng, rng.choice([3, 4, 4]))
        if setting in drawn:
            continue
        drawn.add(setting)
        explored = Explorer(setting).explore()
        states += explored.states
        transitions += explored.transitions
        edges = sum(len(own) for own in setting.parents)
        print(
            f"{len(setting.parents)} tasks, {edges} edges, depth ≤ {setting.max_depth}: "
            f"{explored.states} states, {explored.transitions} transitions",
            flush=True,
        )
    seconds = time.monotonic() - began
    walked = f"{len(drawn)} settings, {states} states, {transitions} transitions"
    print(f"{walked}, {seconds:.0f} s, no invariant broken")


def _fact_of(own: Attempt) -> int:
    """What the invariants of a state ask of one attempt, in four bits."""
    is_confirmed, is_dead = own.status is TaskStatus.CONFIRMED, own.standing is Standing.DEAD
    is_final = is_confirmed or own.status is TaskStatus.SUBMITTED
    return is_confirmed | is_dead << 1 | is_final * _FINAL | bool(own.base) * _STANDS


if __name__ == "__main__":
    main()
