"""The evaluator of very many conditions at once. It says exactly what the scalar one says, of each of them.

A pick is a source's key and a route; its comparisons are intervals of integer codes (`ranks.py`), its value
one code. A value that moves without reaching another code changes no truth: a comparison that is met stays so
in its wide region, which holds the narrow one. So only leaves of picks whose code changed are compared anew,
and only rows with a leaf that turned are reduced anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy

from apps.kernel.collection import collection_paused
from apps.triggers.domain.arrays import array_module
from apps.triggers.domain.conditions import Condition, Region, region_of
from apps.triggers.domain.evaluating import PickFault
from apps.triggers.domain.layout import FALSE, TRUE, UNKNOWN, Layout, Tree, tree_of
from apps.triggers.domain.ranks import NO_VALUE, Interval, code_of, codes_of, interval_of, sorted_ends

#: (source key, route)
Pick = tuple[str, str]
#: (job key, its condition, the key of each of its sources by name)
Entry = tuple[str, Condition, Mapping[str, str]]
_TRUTHS: Final[Mapping[int, bool | None]] = {TRUE: True, FALSE: False, UNKNOWN: None}
#: a row, or a leaf, that was never evaluated
_NEVER: Final = -1
#: a leaf's pick, whether it is met outside its ends, whether it is latched
_Fresh = tuple[int, bool, bool]
_LEAF_ARRAYS: Final = (
    "_first",
    "_last",
    "_wide_first",
    "_wide_last",
    "_pick_of_leaf",
    "_outside",
    "_latched",
    "_truth",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What one evaluation changed: jobs with another truth than before (new ones among them) with it, and
    jobs of which a comparison latched or came loose.
    """

    turned: Mapping[str, bool | None]
    latched: Sequence[str]


@dataclass(slots=True)
class _Row:
    tree: Tree
    leaf_ids: list[int]
    picks: list[int]
    truth: int = _NEVER


class _PickState:
    """One pick's comparisons and its value."""

    __slots__ = ("code", "ends", "ids", "pick", "regions", "value")

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self.value: Decimal | PickFault | None = None
        self.regions: dict[int, tuple[Region, Region]] = {}
        self.ends: list[Decimal] = []
        self.ids: Any = None
        self.code = NO_VALUE

    def place(self) -> int:
        """The value's code."""
        self.code = code_of(self.value, self.ends) if isinstance(self.value, Decimal) else NO_VALUE
        return self.code


class Table:
    """All conditions that are watched, by job key. Not safe for several threads at once."""

    def __init__(self, *, prefers_device: bool = False) -> None:
        self._xp = array_module(prefers_device=prefers_device)
        self._jobs: dict[str, _Row] = {}
        self._keys: list[str] = []
        self._picks: list[_PickState] = []
        self._pick_of: dict[Pick, int] = {}
        self._free_picks: list[int] = []
        self._free_leaves: list[int] = []
        self._size = 0
        self._dirty: set[int] = set()
        self._changed: set[int] = set()
        self._fresh: dict[int, _Fresh] = {}
        self._layout: Layout | None = None
        xp = self._xp
        self._first = self._last = self._wide_first = self._wide_last = xp.empty(0, dtype=numpy.int32)
        self._pick_of_leaf = self._codes = self._row_of_leaf = xp.empty(0, dtype=numpy.int32)
        self._outside = self._latched = xp.empty(0, dtype=bool)
        self._truth = self._row_truth = xp.empty(0, dtype=numpy.int8)

    @classmethod
    def compile(cls, entries: Iterable[Entry], *, prefers_device: bool = False) -> "Table":
        """A table of these conditions, none of them evaluated."""
        table = cls(prefers_device=prefers_device)
        with collection_paused():
            for key, condition, source_keys in entries:
                table.add(key, condition, source_keys)
            table._settle()
        return table

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_key: str) -> bool:
        return job_key in self._jobs

    def add(
        self, job_key: str, condition: Condition, source_keys: Mapping[str, str], *, latched: int = 0
    ) -> None:
        """Watch a condition, in place of another with this key; `latched` are its bits as stored."""
        self.remove(job_key)
        leaf_ids: list[int] = []
        picks: list[int] = []
        for i, leaf in enumerate(condition.leaves):
            leaf_id, pick = self._take_leaf(), self._pick_at((source_keys[leaf.source], leaf.route))
            narrow = region_of(leaf, False)
            wide = region_of(leaf, True) if leaf.hysteresis else narrow
            self._picks[pick].regions[leaf_id] = (narrow, wide)
            self._dirty.add(pick)
            self._fresh[leaf_id] = (pick, narrow.is_outside, bool(latched >> i & 1))
            leaf_ids.append(leaf_id)
            picks.append(pick)
        self._jobs[job_key] = _Row(tree=tree_of(condition.when, leaf_ids), leaf_ids=leaf_ids, picks=picks)
        self._layout = None

    def remove(self, job_key: str) -> None:
        """Watch it no longer; a key that is not there is left alone."""
        row = self._jobs.pop(job_key, None)
        if row is None:
            return
        for leaf_id, pick in zip(row.leaf_ids, row.picks, strict=True):
            self._fresh.pop(leaf_id, None)
            del self._picks[pick].regions[leaf_id]
            self._dirty.add(pick)
        for pick in set(row.picks):
            if not self._picks[pick].regions:
                self._drop_pick(pick)
        self._free_leaves.extend(row.leaf_ids)
        self._layout = None

    def picks(self) -> list[Pick]:
        """What is to be picked for the conditions that are watched."""
        return list(self._pick_of)

    def update(self, picks: Mapping[Pick, Decimal | PickFault]) -> int:
        """Take what was picked; return how many values stand elsewhere than before. Others keep theirs."""
        before = len(self._changed)
        for pick, value in picks.items():
            at = self._pick_of.get(pick)
            if at is None:
                continue
            state = self._picks[at]
            state.value = value
            old = state.code
            if at not in self._dirty and state.place() != old:
                self._changed.add(at)
        return len(self._changed) - before

    def evaluate(self) -> Evaluated:
        """Evaluate what changed since the last time."""
        with collection_paused():
            layout = self._settle()
        ids = self._changed_leaves()
        turned, moved = self._compare(ids)
        rows = self._rows_of(turned)
        latched = [self._keys[row] for row in _listed(self._rows_of(moved))]
        if len(rows) == 0:
            return Evaluated(turned={}, latched=latched)
        truth = layout.reduce(self._truth, None if 2 * len(rows) > layout.rows else rows)
        if 2 * len(rows) > layout.rows:
            truth = truth[rows]
        differs = truth != self._row_truth[rows]
        rows, truth = rows[differs], truth[differs]
        self._row_truth[rows] = truth
        found: dict[str, bool | None] = {}
        for row, value in zip(_listed(rows), _listed(truth), strict=True):
            key = self._keys[row]
            self._jobs[key].truth = value
            found[key] = _TRUTHS[value]
        return Evaluated(turned=found, latched=latched)

    def truth_of(self, job_key: str) -> bool | None:
        """A job's truth at the last evaluation; None also before the first."""
        return _TRUTHS.get(self._jobs[job_key].truth)

    def latched_of(self, job_key: str) -> int:
        """The bits of a job's comparisons that were met when their value was last known."""
        self._settle()
        flags = self._latched[self._xp.asarray(self._jobs[job_key].leaf_ids, dtype=numpy.int32)]
        return sum(1 << i for i, flag in enumerate(_listed(flags)) if flag)

    def _changed_leaves(self) -> Any:
        """Ids of the leaves to compare anew: those of picks with another code."""
        changed, self._changed = self._changed, set()
        if not changed:
            return self._xp.empty(0, dtype=numpy.int32)
        places = self._xp.asarray(list(changed), dtype=numpy.int32)
        self._codes[places] = self._xp.asarray([self._picks[at].code for at in changed], dtype=numpy.int32)
        return self._xp.concatenate([self._picks[at].ids for at in changed])

    def _compare(self, ids: Any) -> tuple[Any, Any]:
        """Compare leaves with their values; return those whose truth turned, and those whose latch moved."""
        xp = self._xp
        code = self._codes[self._pick_of_leaf[ids]]
        latched = self._latched[ids]
        first = xp.where(latched, self._wide_first[ids], self._first[ids])
        last = xp.where(latched, self._wide_last[ids], self._last[ids])
        is_met = ((first <= code) & (code <= last)) != self._outside[ids]
        is_known = code != NO_VALUE
        truth = xp.where(is_known, is_met.astype(numpy.int8) * TRUE, UNKNOWN).astype(numpy.int8)
        after = xp.where(is_known, is_met, latched)
        turned = ids[truth != self._truth[ids]]
        moved = ids[after != latched]
        self._truth[ids] = truth
        self._latched[ids] = after
        return turned, moved

    def _rows_of(self, ids: Any) -> Any:
        """The rows that have one of these leaves, in order, each once."""
        marks = self._xp.zeros(len(self._keys), dtype=bool)
        marks[self._row_of_leaf[ids]] = True
        return self._xp.flatnonzero(marks)

    def _settle(self) -> Layout:
        """Rank picks whose comparisons changed, and lay the rows out again where there are others."""
        self._place_fresh()
        if self._dirty:
            self._rank(self._dirty)
            self._dirty = set()
        if self._layout is None:
            rows = list(self._jobs.values())
            self._keys = list(self._jobs)
            self._layout = Layout(self._xp, [row.tree for row in rows])
            self._row_of_leaf = self._layout.row_of_leaf(len(self._truth))
            truths = numpy.fromiter((row.truth for row in rows), dtype=numpy.int8, count=len(rows))
            self._row_truth = self._xp.asarray(truths)
        return self._layout

    def _rank(self, picks: Iterable[int]) -> None:
        """Codes of the ends and values of these picks; equal values may have other codes than before."""
        ids: list[int] = []
        intervals: list[Interval] = []
        places: list[int] = []
        codes: list[int] = []
        for at in picks:
            state = self._picks[at]
            both = state.regions.values()
            state.ends = sorted_ends(region for pair in both for region in pair)
            ranks = codes_of(state.ends)
            for narrow, wide in both:
                found = interval_of(narrow, ranks)
                intervals.append((*found, *(found if wide is narrow else interval_of(wide, ranks))))
            ids.extend(state.regions)
            state.ids = self._xp.asarray(list(state.regions), dtype=numpy.int32)
            places.append(at)
            codes.append(state.place())
        self._changed.update(places)
        if ids:
            at_ids = self._xp.asarray(ids, dtype=numpy.int32)
            columns = self._xp.asarray(numpy.array(intervals, dtype=numpy.int32))
            for column, array in enumerate((self._first, self._last, self._wide_first, self._wide_last)):
                array[at_ids] = columns[:, column]

    def _place_fresh(self) -> None:
        """Give new leaves and picks their places in the arrays."""
        xp = self._xp
        self._grow()
        if not self._fresh:
            return
        ids = xp.asarray(list(self._fresh), dtype=numpy.int32)
        picks, outside, latched = zip(*self._fresh.values(), strict=True)
        self._pick_of_leaf[ids] = xp.asarray(picks, dtype=numpy.int32)
        self._outside[ids] = xp.asarray(outside, dtype=bool)
        self._latched[ids] = xp.asarray(latched, dtype=bool)
        self._truth[ids] = _NEVER
        self._fresh = {}

    def _grow(self) -> None:
        """Make room for all leaves and picks, twice as much as was there at least."""
        if len(self._codes) < len(self._picks):
            self._codes = self._longer(self._codes, len(self._picks))
        if len(self._truth) >= self._size:
            return
        for name in _LEAF_ARRAYS:
            setattr(self, name, self._longer(getattr(self, name), self._size))

    def _longer(self, array: Any, size: int) -> Any:
        room = self._xp.zeros(max(size, 2 * len(array)), dtype=array.dtype)
        room[: len(array)] = array
        return room

    def _pick_at(self, pick: Pick) -> int:
        at = self._pick_of.get(pick)
        if at is None:
            if not self._free_picks:
                self._free_picks.append(len(self._picks))
                self._picks.append(_PickState(pick))
            at = self._pick_of[pick] = self._free_picks.pop()
            self._picks[at] = _PickState(pick)
        return at

    def _drop_pick(self, at: int) -> None:
        del self._pick_of[self._picks[at].pick]
        self._dirty.discard(at)
        self._changed.discard(at)
        self._free_picks.append(at)

    def _take_leaf(self) -> int:
        if self._free_leaves:
            return self._free_leaves.pop()
        self._size += 1
        return self._size - 1


def _listed(array: Any) -> list[Any]:
    return list(array.tolist())
