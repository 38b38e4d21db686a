"""The demo's report: what counts as success, and what a person sees."""

from typing import Any

from project.embedded.chain_reading import BoardValues, ChainAnswer
from project.embedded.following import Followed
from project.embedded.report import build_claims, build_report, format_boards, format_table, is_success

TIMELINE = {
    "confirmed": "2026-11-20T10:00:04.500000Z",
    "discovered": "2026-11-20T10:00:00Z",
    "scheduled": "2026-11-20T10:00:00.250000Z",
    "executed": "2026-11-20T10:00:01.250000Z",
}


def task(**changes: Any) -> dict[str, Any]:
    return {
        "id": "task_01",
        "step_key": "main",
        "status": "confirmed",
        "timeline": TIMELINE,
        "performer": "0xaa",
        "attestation": {"committee": ["0x1", "0x2", "0x3", "0x4"], "positive": 3, "required": 3},
        "output_cid": "bafy",
        "package_cid": "bafz",
        "settlement": {"proof_of_task": "0x11", "tx_hash": "0x33"},
        **changes,
    }


def followed(*tasks: dict[str, Any], status: str = "confirmed") -> Followed:
    run = {"id": "run_01", "job": "job_01", "status": status, "tasks": list(tasks)}
    return Followed(jobs={"job_01": {"name": "price report"}}, runs={"run_01": run})


def answer(*problems: str) -> ChainAnswer:
    return ChainAnswer(task_id="task_01", block_number=10, block_hash="0x44", depth=2, problems=problems)


def test_a_task_that_the_chain_confirms_is_told_with_everything_about_it() -> None:
    report = build_report(followed(task()), [answer()], None, {"total": 41.239})

    (entry,) = report["tasks"]
    assert is_success(report)
    assert [state["state"] for state in entry["states"]] == [
        "discovered",
        "scheduled",
        "executed",
        "confirmed",
    ]
    assert entry["stage_seconds"] == {"scheduled": 0.25, "executed": 1.0, "confirmed": 3.25, "total": 4.5}
    assert (entry["quorum"], entry["cid"], entry["tx_hash"], entry["block"]) == (3, "bafy", "0x33", 10)
    assert entry["confirmed"] is True
    assert report["totals"]["seconds"] == {"total": 41.24}


def test_a_task_the_api_calls_confirmed_but_the_chain_does_not_is_no_success() -> None:
    report = build_report(followed(task()), [answer("the hub has not settled it")], None, {})

    assert not is_success(report)
    assert report["tasks"][0]["problems"] == ["the hub has not settled it"]
    assert "NOT CONFIRMED" in format_table(report)


def test_a_task_nobody_looked_up_is_not_confirmed() -> None:
    report = build_report(followed(task()), [], None, {})

    assert report["totals"]["not_confirmed"] == 1
    assert not is_success(report)


def test_an_open_run_is_no_success_even_if_its_tasks_are_confirmed() -> None:
    assert not is_success(build_report(followed(task(), status="open"), [answer()], None, {}))


def test_a_job_that_has_not_run_is_no_success() -> None:
    seen = followed(task())
    seen.jobs["job_02"] = {"name": "heat alarm"}

    assert not is_success(build_report(seen, [answer()], None, {}))


def test_nothing_at_all_is_no_success() -> None:
    assert not is_success(build_report(Followed(), [], None, {}))


def test_an_unfinished_task_has_a_row_without_the_stages_it_has_not_reached() -> None:
    unfinished = task(status="waiting", timeline={}, attestation=None, settlement=None, performer="")
    report = build_report(followed(unfinished, status="open"), [], None, {})

    last = format_table(report).splitlines()[-1]
    assert "price report" in last
    assert "NOT CONFIRMED (waiting)" in last
    assert "0/0" in last


def test_a_drill_that_is_expected_and_was_not_seen_is_no_success() -> None:
    report = build_report(followed(task()), [answer()], None, {}, is_drill_expected=True)

    assert not is_success(report)
    assert report["drill"]["problems"]
    assert is_success(build_report(followed(task()), [answer()], None, {}))


def test_the_report_has_the_comparison() -> None:
    seen = followed(task())
    seen.jobs["job_01"] = {"name": "Chain, speculation off"}
    seen.jobs["job_02"] = {"name": "Chain, speculation on"}
    seen.runs["run_01"] = {**seen.runs["run_01"], "opened_at": TIMELINE["discovered"]}

    (entry,) = build_report(seen, [answer()], None, {})["comparison"]

    assert (entry["name"], entry["off"]["confirmed_seconds"]) == ("Chain", 4.5)


def test_a_state_without_a_column_counts_for_the_next_that_has_one() -> None:
    timeline = {
        state: f"2026-11-20T10:00:{second:02}Z"
        for state, second in [
            ("discovered", 0),
            ("waiting", 1),
            ("scheduled", 3),
            ("executed", 4),
            ("attested", 6),
            ("proving", 7),
            ("proved", 9),
            ("waiting_ancestors", 10),
            ("submitted", 20),
            ("confirmed", 23),
        ]
    }
    table = format_table(build_report(followed(task(timeline=timeline)), [answer()], None, {}))

    head, _, row = table.splitlines()
    cells = dict(zip(head.split()[2:], row.split()[3:], strict=True))
    assert (cells["scheduled"], cells["executing"], cells["executed"]) == ("3.00", "·", "1.00")
    assert (cells["attested"], cells["proved"], cells["submitted"]) == ("2.00", "3.00", "11.00")
    assert cells["total"] == "23.00"


def test_claims_are_what_the_api_says() -> None:
    (claim,) = build_claims(followed(task()))

    assert (claim.task_id, claim.proof_of_task, claim.tx_hash) == ("task_01", "0x11", "0x33")


def test_the_boards_are_shown_where_something_was_written() -> None:
    boards = BoardValues(prices={"AAPL": 187_500}, alarms={"SEATTLE": 3})
    report = build_report(followed(task()), [answer()], boards, {})

    assert "AAPL" in format_boards(report)
    assert "SEATTLE" in format_boards(report)
    assert format_boards(build_report(followed(task()), [answer()], None, {})) == ""
