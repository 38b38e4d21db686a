"""Whose failure a failed attempt is."""

from unittest.mock import Mock

import pytest

from apps.execution.attempts import BLAMED, attempt_failed
from apps.tasks.data import FailureReason

SCRIPTS_OWN = (
    "script_failed",
    "script_timeout",
    "script_memory",
    "script_killed",
    "script_not_json",
    "script_output_too_large",
    "script_output_not_object",
    "action_arguments_missing",
    "action_calldata_invalid",
    "action_reverts",
    "input_missing",
    "unknown",
)


@pytest.mark.parametrize("code", SCRIPTS_OWN)
def test_a_script_that_fails_is_not_its_keepers_fault(code: str) -> None:
    changes, task = Mock(), Mock(performer="0xaa")
    attempt_failed(changes, task, code, "boom")
    changes.blame.assert_not_called()
    changes.signal.assert_called_once()


@pytest.mark.parametrize("code", sorted(BLAMED))
def test_what_a_keeper_answers_for_is_on_its_record(code: str) -> None:
    changes, task = Mock(), Mock(performer="0xaa")
    attempt_failed(changes, task, code, reason=FailureReason.RESULT_REJECTED)
    changes.blame.assert_called_once_with("0xaa")
    changes.signal.assert_called_once_with(task, FailureReason.RESULT_REJECTED, code, "")
