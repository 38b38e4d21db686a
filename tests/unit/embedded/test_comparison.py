"""Speculation off and on, side by side: what is measured, from documents of the API."""

import pytest

from project.embedded.comparison import build_comparison, format_comparison
from project.embedded.following import Followed
from tests.unit.embedded.documents import run, task

JOBS = {
    "job_off": {"name": "Chain, speculation off"},
    "job_on": {"name": "Chain, speculation on"},
    "job_x": {"name": "Heat alarm"},
}
OFF = run(
    "run_off",
    "job_off",
    [
        task(1, "load", {"discovered": 0, "executed": 1, "confirmed": 4}),
        task(2, "report", {"discovered": 0, "executed": 5, "confirmed": 8}),
    ],
)
ON = run(
    "run_on",
    "job_on",
    [
        task(11, "load", {"discovered": 0.5, "executed": 1.5, "confirmed": 4}),
        task(12, "report", {"discovered": 0.5, "executed": 2, "waiting_ancestors": 3, "confirmed": 4.5}),
    ],
    opened=0.5,
)
OTHER = run("run_x", "job_x", [task(21, "main", {"discovered": 6, "executed": 7, "confirmed": 11})], opened=6)


def compare(*runs):
    return build_comparison(Followed(jobs=JOBS, runs={each["id"]: each for each in runs}))


def test_a_pair_is_measured_from_opening_each_run_to_its_last_output_and_confirmation():
    (entry,) = compare(OFF, ON, OTHER)
    assert entry["name"] == "Chain"
    assert (entry["off"]["run"], entry["on"]["run"]) == ("run_off", "run_on")
    assert (entry["off"]["output_seconds"], entry["off"]["confirmed_seconds"]) == (5.0, 8.0)
    assert (entry["on"]["output_seconds"], entry["on"]["confirmed_seconds"]) == (1.5, 4.0)
    assert (entry["output_ratio"], entry["confirmed_ratio"]) == (3.33, 2.0)


def test_how_busy_the_others_were_is_measured_for_each_of_the_two():
    (entry,) = compare(OFF, ON, OTHER)
    # In 8 s the other run of the pair put out two and the third run one; in 4 s only one of the pair's did.
    assert entry["off"]["others_per_second"] == pytest.approx(3 / 8, abs=0.01)
    assert entry["on"]["others_per_second"] == pytest.approx(1 / 4, abs=0.01)


def test_a_run_that_is_not_over_has_no_times_it_has_not_come_to():
    unfinished = run(
        "run_off",
        "job_off",
        [
            task(1, "load", {"discovered": 0, "executed": 1, "confirmed": 4}),
            task(2, "report", {"discovered": 0, "executed": 5}),
        ],
        status="open",
    )
    (entry,) = compare(unfinished, ON)
    assert entry["off"]["output_seconds"] == 5.0
    assert entry["off"]["confirmed_seconds"] is None
    assert entry["off"]["others_per_second"] is None
    assert entry["confirmed_ratio"] is None
    (line,) = [line for line in format_comparison({"comparison": [entry]}).splitlines() if "Chain" in line]
    assert line.split() == ["Chain,", "2", "steps", "5.0", "1.5", "3.3×", "·", "4.0", "·", "·", "0.2"]


def test_a_job_that_has_not_run_is_told_as_such():
    (entry,) = compare(OFF)
    assert (entry["on"]["run"], entry["on"]["steps"], entry["output_ratio"]) == (None, 0, None)


def test_the_times_stand_side_by_side():
    (line,) = [
        line
        for line in format_comparison({"comparison": compare(OFF, ON, OTHER)}).splitlines()
        if line.startswith("Chain")
    ]
    assert line.split() == ["Chain,", "2", "steps", "5.0", "1.5", "3.3×", "8.0", "4.0", "2.0×", "0.4", "0.2"]


def test_without_pairs_there_is_nothing_to_compare():
    assert build_comparison(Followed(jobs={"job_x": JOBS["job_x"]}, runs={"run_x": OTHER})) == []
    assert format_comparison({"comparison": []}) == ""
