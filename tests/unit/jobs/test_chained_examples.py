"""The examples of dependent steps, run on the real data; their figures computed anew with floats."""

import csv
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from apps.jobs.data import compute_depths, definition_from_json
from apps.jobs.domain.placeholders import fill_placeholders
from apps.kernel.abi import encode_call
from apps.kernel.abi_text import entry_of_function

EXAMPLES = Path(__file__).parents[3] / "examples"
WEATHER = "seattle-weather.csv"
CHAIN = [
    "load",
    "months",
    "normals",
    "anomalies",
    "rolling",
    "trend",
    "residuals",
    "memory",
    "outlook",
    "report",
]


@pytest.fixture
def run_job(run):
    """Run every step of an example in the order of its graph; returns step → output."""

    def run_steps(name, **options):
        steps = {step["key"]: step for step in read_job(name)["steps"]}
        outputs: dict[str, Any] = {}
        for key in order_of(name):
            step = steps[key]
            outputs[key] = run(
                f"{name}/{step['script']['cid'].removeprefix('${script:').removesuffix('}')}",
                inputs=list(step.get("inputs", ())),
                params=step.get("params"),
                parents={parent: outputs[parent] for parent in step.get("parents", ())},
                **options,
            )
        return outputs

    return run_steps


def read_job(name):
    job = json.loads((EXAMPLES / name / "job.json").read_text())
    (variant, *_) = job.pop("variants", [{}])
    return {**job, **variant}


def order_of(name):
    cid = "bafkreigsq65x7hivvpofw3uyknrghakxis3o6ioi6pedt7cdjstq3dx6te"
    known = {"script": lambda _: cid, "input": lambda _: cid, "chain_id": lambda _: 31337}
    target = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
    filled = fill_placeholders(read_job(name), {**known, "price_board": lambda _: target})
    return list(compute_depths(definition_from_json(filled).steps))


def weather():
    with open(EXAMPLES / "data" / WEATHER, newline="") as file:
        return list(csv.DictReader(file))


def by_month(column, length=7):
    """Month → its days' values; of the calendar where `length` is 2."""
    months: dict[str, list[Any]] = {}
    for row in weather():
        month = row["date"].replace("/", "-")[:7][-length:]
        months.setdefault(month, []).append(column(row))
    return months


def test_every_step_of_the_chain_stands_on_the_one_before():
    steps = read_job("chain")["steps"]
    assert [step["key"] for step in steps] == CHAIN
    assert [step.get("parents", []) for step in steps] == [[], *([key] for key in CHAIN[:-1])]


def test_the_chain_gives_the_outlook_that_the_same_steps_in_floats_give(run_job):
    outputs = run_job("chain")
    means = {m: statistics.fmean(v) for m, v in by_month(mean_of_day).items()}
    assert len(outputs["load"]["days"]) == 1461
    assert dict(outputs["months"]["months"]) == pytest.approx(
        {m: v * 1000 for m, v in means.items()}, abs=0.51
    )

    normals = {n: statistics.fmean(v for m, v in means.items() if m[5:] == n) for n in {m[5:] for m in means}}
    assert outputs["normals"]["normals"] == pytest.approx({n: v * 1000 for n, v in normals.items()}, abs=1)
    anomalies = [means[m] - normals[m[5:]] for m in sorted(means)]
    rolling = [statistics.fmean(anomalies[n : n + 12]) for n in range(len(anomalies) - 11)]
    assert [v for _, v in outputs["rolling"]["rolling"]] == pytest.approx([v * 1000 for v in rolling], abs=2)

    line = statistics.linear_regression(range(len(rolling)), rolling)
    slope = outputs["trend"]["line"]["slope"] / outputs["trend"]["line"]["by"]
    assert slope == pytest.approx(line.slope * 1000, abs=0.1)
    residuals = [v - line.intercept - line.slope * x for x, v in enumerate(rolling)]
    assert outputs["residuals"]["residuals"] == pytest.approx([v * 1000 for v in residuals], abs=4)
    memory = sum(a * b for a, b in itertools.pairwise(residuals)) / sum(a * a for a in residuals)
    assert outputs["memory"]["memory_ppm"] == pytest.approx(memory * 1e6, abs=5_000)

    expected = line.intercept + line.slope * len(rolling) + memory * residuals[-1]
    assert outputs["outlook"]["anomaly"] == pytest.approx(expected * 1000, abs=5)
    assert outputs["report"]["month"] == "2016-01"
    year = statistics.fmean(normals.values())
    assert outputs["report"]["arguments"][1] == pytest.approx((year + expected) * 1000, abs=6)


def mean_of_day(row):
    return (float(row["temp_max"]) + float(row["temp_min"])) / 2


def test_the_known_figures_of_the_dependent_examples_do_not_move(run_job):
    assert run_job("chain")["report"]["arguments"][1] == 13_274
    assert run_job("diamond")["join"]["arguments"][1] == 8
    assert run_job("drill")["report"] == {
        "arguments": ["0x" + b"SEATTLE.WETSPELL".hex().ljust(64, "0"), 15],
        "began": "2014-02-10",
    }


@pytest.mark.parametrize(("name", "last"), [("chain", "report"), ("diamond", "join"), ("drill", "report")])
def test_what_the_last_step_prints_fits_the_call_of_its_action(run_job, name, last):
    (step,) = [step for step in read_job(name)["steps"] if "action" in step]
    assert step["key"] == last
    encode_call(entry_of_function(step["action"]["function"]), run_job(name)[last]["arguments"])


def test_the_branches_of_the_diamond_rank_the_months_and_the_join_takes_the_best(run_job):
    outputs = run_job("diamond")
    rain = {m: statistics.fmean(v) for m, v in by_month(lambda r: float(r["precipitation"]), 2).items()}
    warm = {m: statistics.fmean(v) for m, v in by_month(lambda r: float(r["temp_max"]), 2).items()}
    wind = {m: statistics.fmean(v) for m, v in by_month(lambda r: float(r["wind"]), 2).items()}
    sun = {m: statistics.fmean(v) for m, v in by_month(lambda r: r["weather"] == "sun", 2).items()}
    ranks = {
        "dry": rank(rain),
        "warm": rank({month: -value for month, value in warm.items()}),
        "calm": rank(wind),
        "sunny": rank({month: -value for month, value in sun.items()}),
    }
    assert {key: outputs[key]["ranks"] for key in ranks} == ranks
    scores = {month: sum(each[month] for each in ranks.values()) for month in rain}
    assert outputs["join"]["scores"] == scores
    assert outputs["join"]["best"] == min(sorted(scores), key=lambda month: scores[month])


def rank(values):
    return {month: place for place, month in enumerate(sorted(values, key=lambda m: values[m]), start=1)}


def test_the_drill_finds_the_longest_wet_spell(run_job):
    outputs = run_job("drill")
    wet = "".join("w" if float(row["precipitation"]) >= 1 else " " for row in weather())
    lengths = sorted(len(spell) for spell in wet.split())
    assert sorted(length for _, length in outputs["wet_spells"]["spells"]) == lengths
    assert outputs["report"]["arguments"][1] == lengths[-1]


@pytest.mark.parametrize("name", ["chain", "diamond", "drill"])
def test_every_keeper_prints_the_same_bytes(run_job, name):
    assert run_job(name, environ={"PYTHONHASHSEED": "1"}) == run_job(name, environ={"PYTHONHASHSEED": "2"})


def test_a_line_without_residuals_has_nothing_to_remember(run):
    flat = {"residuals": [0, 0], "line": {}, "year": 0, "last_month": "2015-12"}
    with pytest.raises(AssertionError, match="nothing to remember"):
        run("chain/memory.py", parents={"residuals": flat})
