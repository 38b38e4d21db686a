"""Every state and every failure a person can meet has words."""

import pytest

from apps.execution.attempts import REASONS
from apps.keepers.data import KeeperStatus
from apps.kernel.speculation import choice_from_json
from apps.progress.domain.words import (
    RUN_WORDS,
    TASK_WORDS,
    describe_schedule,
    describe_seconds,
    describe_speculation,
    dictionary,
    explain,
)
from apps.progress.templatetags.forekeep import (
    _OTHER_WORDS,
    ago,
    badge,
    clock,
    duration,
    grouped,
    hits,
    saved,
    short,
    trigger,
)
from apps.proofs import errors as proof_errors
from apps.proofs.domain.deferral import ANCESTORS_TIMEOUT, GENERATION_TIMEOUT, SUBMISSION_TIMEOUT
from apps.tasks.data import RunStatus, TaskStatus
from workers.keeper.sandbox.data import FailureCode


def test_every_status_has_a_symbol_of_its_own_and_a_meaning():
    assert set(TASK_WORDS) == {str(status) for status in TaskStatus}
    assert set(RUN_WORDS) == {str(status) for status in RunStatus}
    assert len({symbol for symbol, _ in TASK_WORDS.values()}) == len(TASK_WORDS)
    assert {str(status) for status in KeeperStatus} - {"registered"} <= set(_OTHER_WORDS)


#: what stages signal of their own, beside what keepers report and the prover answers
SIGNALLED = (
    "no_quorum",
    "attestation_invalid",
    "ancestor_failed",
    "cancelled",
    "lease_expired",
    "not_acknowledged",
    "action_reverted",
    "refused",
    "lineage_broken",
    "parent_receipt_missing",
    "parent_receipt_forged",
    "statement_impossible",
    "public_input_differs",
    GENERATION_TIMEOUT,
    ANCESTORS_TIMEOUT,
    SUBMISSION_TIMEOUT,
)
#: what of a statement, a proof or the prover can end an attempt
PROVER_SAYS = (
    proof_errors.WitnessInvalid,
    proof_errors.TraceTooLong,
    proof_errors.ProofRejected,
    proof_errors.ProvingKeyMissing,
    proof_errors.ProvingKeyCorrupt,
    proof_errors.ProverUnavailable,
    proof_errors.ProofFailed,
    proof_errors.ProofTimedOut,
    proof_errors.ProofCancelled,
)


@pytest.mark.parametrize(
    "code", [*map(str, FailureCode), *REASONS, *SIGNALLED, *(kind.code for kind in PROVER_SAYS)]
)
def test_every_known_failure_is_explained(code: str):
    assert code in dictionary()["errors"]
    found = explain(code)
    assert found is not None
    assert found.happened.endswith(".")
    assert found.advice.endswith(".")


def test_an_unknown_failure_is_named_and_no_failure_is_none():
    unknown = explain("moon_phase")
    assert unknown is not None
    assert "moon phase" in unknown.happened
    assert explain("") is None


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (None, "by hand"),
        ({"kind": "interval", "seconds": 90}, "every 90 s"),
        ({"kind": "interval", "seconds": 300}, "every 5 min"),
        (
            {"kind": "cron", "expression": "0 9 * * 1-5", "zone": "Europe/Berlin"},
            "cron 0 9 * * 1-5 (Europe/Berlin)",
        ),
        ({"kind": "specific", "instants": ["x"]}, "at 1 given time"),
        ({"kind": "specific", "instants": ["x", "y"]}, "at 2 given times"),
    ],
)
def test_a_schedule_is_said_in_a_few_words(schedule, text):
    assert describe_schedule(schedule) == text


@pytest.mark.parametrize(
    ("job", "project", "text"),
    [
        ({}, {}, "as the network says"),
        ({"enabled": True}, {}, "as the network says"),
        ({"mode": "balanced"}, {"mode": "aggressive"}, "balanced: 5 deep, 4 wide"),
        ({}, {"mode": "aggressive"}, "aggressive: 10 deep, 8 wide, as the project says"),
        ({"mode": "custom", "max_depth": 20, "max_branches": 1}, {}, "custom: 20 deep, 1 wide"),
        ({"enabled": False, "mode": "balanced"}, {}, "off"),
        ({"enabled": True}, {"enabled": False}, "off, for the whole project"),
    ],
)
def test_how_far_a_job_may_run_ahead_is_said_in_a_few_words(job, project, text):
    said = describe_speculation(job=choice_from_json(job), project=choice_from_json(project))
    assert said == text


def test_lengths_of_time_have_the_precision_that_matters():
    shown = [duration(seconds) for seconds in (-1, 0.0124, 2.414, 59.96, 61, 3_700, 180_000, 400_000)]

    assert shown == ["0 ms", "12 ms", "2.41 s", "60.0 s", "1 min 1 s", "1 h 1 min", "2 days", "4 days"]
    assert [describe_seconds(seconds) for seconds in (45, 60, 7_200, 86_400, 172_800)] == [
        "45 s",
        "1 min",
        "2 h",
        "1 day",
        "2 days",
    ]
    assert ago(None) == "never"


def test_ids_numbers_times_and_triggers_are_shown_short():
    assert short("0x" + "ab" * 20) == "0xabababab…babab"
    assert short("short") == "short"
    assert short(None) == ""
    assert grouped(1_234_567) == "1\u202f234\u202f567"
    assert grouped("12") == "12"
    assert clock("2026-11-20T07:03:04.056789Z", 3) == "07:03:04.056"
    assert clock("") == ""
    assert trigger("time:2026-11-20T07:00:00Z") == "tick of 07:00:00"
    assert trigger("manual:ab") == "by hand"


def test_what_running_ahead_saved_is_said_with_what_it_is_measured_against():
    def said(seconds: float | None, took: float = 16.5, without: float = 28.6) -> str:
        return saved({"saved_seconds": seconds, "took_seconds": took, "without_seconds": without})

    assert said(12.1) == "12.1 s (16.5 s instead of 28.6 s)"
    assert said(-2.0, 12.0, 10.0) == "−2.00 s (12.0 s instead of 10.0 s)"
    assert said(0.0) == "nothing so far"
    assert said(None) == "not known yet"


def test_how_those_that_ran_ahead_fared_is_said_in_a_few_words():
    def said(ahead: int, ended: int, confirmed: int) -> str:
        rate = confirmed / ended if ended else None
        return hits(
            {
                "ran_ahead": ahead,
                "ran_ahead_ended": ended,
                "ran_ahead_confirmed": confirmed,
                "hit_rate": rate,
            }
        )

    assert said(0, 0, 0) == "none"
    assert said(3, 0, 0) == "3 under way"
    assert said(4, 3, 2) == "2 of 3 confirmed (67\u00a0%)"


def test_a_state_of_two_words_is_shown_as_two():
    assert ">waiting ancestors<" in badge("waiting_ancestors", "task")
    assert ">2 rolled back<" in badge("rolled_back", "task", 2)


def test_a_badge_escapes_what_it_is_given():
    html = badge("<b>", "task", field='"x"')

    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "&quot;x&quot;" in html
