"""What it costs to evaluate very many conditions: all at once, one at a time, and bare floats compared.

    python -m bench.conditions [conditions] [sources]

The three evaluate the same conditions over the same polls in the same run, in turn; read the ratios. The bare
comparison is no evaluator: it has one float threshold for each comparison, no groups, no hysteresis and no
unknown, and shows what the arrays themselves cost.
"""

import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import numpy

from apps.triggers.data import (
    Condition,
    PickFault,
    Table,
    condition_from_json,
    evaluate,
    load_json,
    pick,
    pick_number,
    route_of,
)
from bench.figures import Figure, tell

ROUTES: Final = 10
ROUNDS: Final = 7
SLOW_ROUNDS: Final = 3
_SIMPLE: Final = ("greater_than", "less_than", "greater_equal", "less_equal", "equals", "not_equals")
Values = dict[tuple[str, str], Decimal | PickFault]


def make_condition(chance: random.Random, sources: int) -> tuple[Condition, dict[str, str]]:
    """One to five comparisons over one or two sources, flat or nested, half of them with hysteresis."""
    names = {"a": f"s{chance.randrange(sources)}", "b": f"s{chance.randrange(sources)}"}
    leaves = [_make_leaf(chance) for _ in range(chance.choice((1, 1, 2, 3, 5)))]
    when: dict[str, Any] = leaves[0]
    if len(leaves) > 1:
        join, other = chance.sample(("all", "any"), 2)
        when = {join: leaves if len(leaves) < 4 else [*leaves[:3], {other: leaves[3:]}]}
    used = sorted({leaf["source"] for leaf in leaves})
    given = {name: {"kind": "static", "value": names[name]} for name in used}
    return condition_from_json({"sources": given, "when": when}), {name: names[name] for name in used}


def _make_leaf(chance: random.Random) -> dict[str, Any]:
    form = {"source": chance.choice("aab"), "route": f"$.data.v{chance.randrange(ROUTES)}"}
    threshold = Decimal(chance.randrange(0, 1_000_000)) / 100
    if chance.random() < 0.2:
        form |= {"is": "between", "low": str(threshold), "high": str(threshold + 100)}
    else:
        form |= {"is": chance.choice(_SIMPLE), "value": str(threshold)}
    return form | ({"hysteresis": "5"} if chance.random() < 0.5 else {})


def make_values(chance: random.Random, sources: range) -> Values:
    """What one poll of these sources gives."""
    return {
        (f"s{source}", f"$.data.v{route}"): Decimal(chance.randrange(0, 1_000_000)) / 100
        for source in sources
        for route in range(ROUTES)
    }


def seconds_of(act: Callable[[], object]) -> float:
    """How long one call takes; the collector runs before it, not in it."""
    gc.collect()
    started_at = time.perf_counter()
    act()
    return time.perf_counter() - started_at


def poll(table: Table, values: Values) -> None:
    """One poll of all conditions at once."""
    table.update(values)
    table.evaluate()


def scalar_pass(jobs: list[tuple[Condition, dict[str, str]]], latched: list[int], by_source: Any) -> None:
    """Each condition by itself."""
    for i, (condition, names) in enumerate(jobs):
        picks = {name: by_source[key] for name, key in names.items()}
        latched[i] = evaluate(condition, picks, latched[i]).latched_after


def body_of(chance: random.Random) -> bytes:
    """An answer of two kilobytes or so."""
    data = {f"v{i}": chance.randrange(0, 1_000_000) / 100 for i in range(ROUTES)}
    filler = [{"id": i, "name": f"pair {i}", "bid": chance.random()} for i in range(30)]
    return json.dumps({"data": data, "others": filler}).encode()


def main(count: int, sources: int) -> None:
    """Print the table."""
    chance = random.Random(7)
    jobs = [make_condition(chance, sources) for _ in range(count)]
    leaves = sum(len(condition.leaves) for condition, _ in jobs)
    print(f"{count:,} conditions with {leaves:,} comparisons over {sources:,} sources of {ROUTES} routes")
    gc.freeze()
    entries = [(f"job{i}", condition, names) for i, (condition, names) in enumerate(jobs)]
    made: list[Table] = []
    compile_s = seconds_of(lambda: made.append(Table.compile(entries)))
    table = made[0]
    table.update(make_values(chance, range(sources)))
    table.evaluate()

    thresholds = numpy.array([float(leaf.low) for one, _ in jobs for leaf in one.leaves])
    place = {pick: i for i, pick in enumerate(table.picks())}
    of_leaf = numpy.array(
        [place[names[leaf.source], leaf.route] for one, names in jobs for leaf in one.leaves]
    )
    floats = numpy.array([float(chance.randrange(0, 1_000_000)) / 100 for _ in place])

    latched = [0] * count
    times: dict[str, list[float]] = {name: [] for name in ("all", "some", "scalar", "bare", "edit")}

    def take_round(number: int) -> None:
        polled = make_values(chance, range(sources))
        first = chance.randrange(sources)
        few = make_values(chance, range(first, first + max(1, sources // 100)))
        times["all"].append(seconds_of(lambda: poll(table, polled)))
        times["some"].append(seconds_of(lambda: poll(table, few)))
        times["bare"].append(seconds_of(lambda: floats[of_leaf] > thresholds))
        if number < SLOW_ROUNDS:
            by_source: dict[str, dict[str, Any]] = {}
            for (key, route), value in polled.items():
                by_source.setdefault(key, {})[route] = value
            times["scalar"].append(seconds_of(lambda: scalar_pass(jobs, latched, by_source)))
            table.add(*entries[number])
            times["edit"].append(seconds_of(table.evaluate))

    for number in range(ROUNDS):
        take_round(number)
    middle = {name: statistics.median(found) for name, found in times.items()}
    one = middle["scalar"] / count
    scalar, bare = "one at a time", "bare floats"
    _tell("compiled, conditions", count / compile_s, "/s")
    _tell("compiled, all of them", compile_s * 1000, "ms")
    _tell("one job edited, evaluated again", middle["edit"] * 1000, "ms")
    _tell("one at a time", 1 / one, "/s")
    _tell(
        "at once, every value changed", count / middle["all"], "/s", middle["scalar"] / middle["all"], scalar
    )
    _tell(
        "at once, every value changed, a pass",
        middle["all"] * 1000,
        "ms",
        middle["all"] / middle["bare"],
        bare,
    )
    _tell("at once, 1% changed", count / middle["some"], "/s", middle["scalar"] / middle["some"], scalar)
    _tell("at once, 1% changed, a pass", middle["some"] * 1000, "ms", middle["some"] / middle["bare"], bare)

    bodies = [body_of(chance) for _ in range(sources)]
    routes = [f"$.data.v{i}" for i in range(ROUTES)]
    documents: list[Any] = []
    parse_s = seconds_of(lambda: documents.extend(load_json(body) for body in bodies))
    plain_s = seconds_of(lambda: [json.loads(body) for body in bodies])
    pick_s = seconds_of(lambda: [pick_number(route, document) for document in documents for route in routes])
    paths = [path for path in (route_of(route).path for route in routes) if path is not None]
    path_s = seconds_of(lambda: [path.findall(document) for document in documents[:100] for path in paths])
    assert pick(route_of(routes[0]), documents[0]) is not None
    path_s *= sources / 100
    _tell(f"{sources:,} answers read exactly", parse_s * 1000, "ms", parse_s / plain_s, "json.loads")
    _tell(f"{sources * ROUTES:,} numbers picked", pick_s * 1000, "ms", pick_s / path_s, "the library's walk")


def _tell(name: str, value: float, unit: str, ratio: float = 0.0, beside: str = "") -> None:
    tell([Figure(bench="conditions", name=name, value=value, unit=unit, ratio=ratio, beside=beside)])


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:3]]
    main(*(given if len(given) == 2 else (100_000, 1_000)))
