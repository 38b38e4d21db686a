"""What fails as a task: a signed receipt with a stable code; what only the outside can cure: no receipt."""

import time
from pathlib import Path
from typing import Any

import pytest

from apps.kernel.hashing import canonical_json
from tests.factories.nodes import (
    ACTION,
    SYMBOL,
    FakeChain,
    make_assignment,
    make_node,
    ran,
    result_of,
    script_spec,
    signed,
)
from workers.keeper.answers import AnswerBook
from workers.keeper.errors import (
    BlockUnavailable,
    ChainUnavailable,
    LanguageUnavailable,
    WorkAborted,
)
from workers.keeper.execute import execute
from workers.keeper.sandbox.data import FailureCode, SandboxStatus
from workers.keeper.sandbox.errors import SandboxBroken


@pytest.mark.parametrize(
    ("stdout", "code"),
    [
        (b"", "script_not_json"),
        (b"{} {}", "script_not_json"),
        (b"\xff\xfe", "script_not_json"),
        (b'{"x": NaN}', "script_not_json"),
        (b"[" * 100_000, "script_not_json"),
        (b"9" * 5_000, "script_not_json"),
        (b"[1]", "script_output_not_object"),
        (b"null", "script_output_not_object"),
        (b'{"x": 9007199254740993}', "script_not_json"),
        (b'{"x": "\\ud800"}', "script_not_json"),
        (b'{"x": 1e999}', "script_not_json"),
    ],
)
def test_output_that_cannot_be_used_has_its_code(node: Any, stdout: bytes, code: str) -> None:
    node.executor.answer = lambda request, handle: stdout

    result = result_of(node, script_spec(node))

    assert (result["status"], result["error_code"]) == ("failed", code)
    assert result["cpu_ms"] == 11


@pytest.mark.parametrize("code", [code for code in FailureCode if code is not FailureCode.ABORTED])
def test_a_scripts_failure_is_passed_on_with_its_code_and_measures(node: Any, code: FailureCode) -> None:
    node.executor.answer = lambda request, handle: ran(
        status=SandboxStatus.FAILED, code=code, exit_code=1, stderr_tail="Trace\ud800back " * 100
    )

    result = result_of(node, script_spec(node))

    assert (result["status"], result["error_code"]) == ("failed", str(code))
    assert len(result["error_detail"]) <= 500
    assert (result["cpu_ms"], result["peak_memory_bytes"]) == (11, 9 * 1024 * 1024)
    canonical_json(result)


MISSING = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"script": {"cid": MISSING, "language": "python"}}, "script_missing"),
        ({"script": {"cid": "nonsense", "language": "python"}}, "script_invalid"),
        ({"inputs": {"a.csv": MISSING}}, "input_missing"),
        ({"parents": {"load": MISSING}}, "parent_output_missing"),
    ],
)
def test_content_that_is_not_there_fails_the_task(node: Any, changes: dict[str, Any], code: str) -> None:
    result = result_of(node, script_spec(node) | changes)

    assert (result["status"], result["error_code"]) == ("failed", code)
    assert node.executor.requests == []


def test_tampered_content_fails_the_task(node: Any, tmp_path: Path) -> None:
    spec = script_spec(node)
    (block,) = [path for path in (tmp_path / "content").rglob("*") if path.is_file()]
    block.chmod(0o600)
    block.write_bytes(b"import os")

    assert result_of(node, spec)["error_code"] == "content_tampered"


def test_a_parent_output_that_is_no_json_fails_the_task(node: Any) -> None:
    spec = script_spec(node, parents={"load": node.store.put(b"\xff")})

    assert result_of(node, spec)["error_code"] == "parent_output_invalid"


def test_a_script_in_a_language_the_machine_lacks_is_left_to_another_keeper(node: Any) -> None:
    script = {"cid": node.store.put(b"console.log(1)"), "language": "typescript"}

    with pytest.raises(LanguageUnavailable) as caught:
        result_of(node, script_spec(node) | {"script": script})

    assert caught.value.fields == {"language": "typescript", "runs": ["python"]}
    assert node.outbox.receipts == []
    node.executor.languages = ("python", "typescript")
    assert result_of(node, script_spec(node) | {"script": script})["status"] == "ok"
    assert node.executor.requests[-1].language == "typescript"


def test_an_oversize_script_fails_the_task(node: Any) -> None:
    spec = script_spec(node) | {"script": {"cid": node.store.put(b"#" * 262_145), "language": "python"}}

    assert result_of(node, spec)["error_code"] == "script_too_large"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"task": "task_" + "0" * 32}, "/task"),
        ({"script": {"cid": MISSING, "language": "cobol"}}, "/script/language"),
        ({"script": {"cid": 5, "language": "python"}}, "/script/cid"),
        ({"script": "x"}, "/script"),
        ({"inputs": {"../x": MISSING}}, "/inputs/../x"),
        ({"inputs": {"a": 5}}, "/inputs/a"),
        ({"inputs": {f"f{i}": MISSING for i in range(33)}}, "/inputs"),
        ({"parents": []}, "/parents"),
        ({"arguments": {"kind": "dynamic", "values": []}}, "/arguments/kind"),
        ({"arguments": {"kind": "other", "values": []}}, "/arguments/kind"),
        ({"arguments": {"kind": "static", "values": "x"}}, "/arguments/values"),
        ({"action": {**ACTION, "chain_id": 1}}, "/action/chain_id"),
        ({"limits": {"deadline_seconds": 61}}, "/limits/deadline_seconds"),
        ({"limits": {"deadline_seconds": 0}}, "/limits/deadline_seconds"),
        ({"limits": {"memory_mb": 1024}}, "/limits/memory_mb"),
        ({"limits": {"memory_mb": 8}}, "/limits/memory_mb"),
        ({"limits": {"cpu_seconds": "x"}}, "/limits/cpu_seconds"),
        ({"due_at": None}, "/due_at"),
    ],
)
def test_a_specification_this_node_does_not_take_on_fails_with_its_place(
    node: Any, changes: dict[str, Any], pointer: str
) -> None:
    result = result_of(node, changes)

    assert (result["status"], result["error_code"]) == ("failed", "parameters_invalid")
    assert result["error_detail"].startswith(f"{pointer}:")
    assert node.executor.requests == []


def test_arguments_that_do_not_fit_the_function_fail_the_task(node: Any) -> None:
    result = result_of(node, {"action": ACTION, "arguments": {"kind": "static", "values": [SYMBOL]}})

    assert result["error_code"] == "action_arguments_invalid"


def test_a_call_that_reverts_fails_the_task_with_the_contracts_words(tmp_path: Path) -> None:
    node = make_node(tmp_path, chain=FakeChain(failure="only once a day"))

    result = result_of(node, {"action": ACTION})

    assert (result["error_code"], result["error_detail"]) == ("action_reverts", "only once a day")


def test_a_chain_that_is_away_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    chain = FakeChain(errors=[ChainUnavailable(reason="down"), BlockUnavailable(block=17)])
    node = make_node(tmp_path, chain=chain)

    assert result_of(node, {"action": ACTION})["status"] == "ok"


def test_a_chain_that_stays_away_leaves_the_task_to_somebody_else(tmp_path: Path) -> None:
    chain = FakeChain(errors=[ChainUnavailable(reason="down")] * 100)
    node = make_node(tmp_path, chain=chain)

    with pytest.raises(ChainUnavailable):
        execute(
            node, signed(make_assignment(node.address, {"action": ACTION}, expires_at=int(time.time()) + 1))
        )
    assert node.outbox.receipts == []


def test_a_node_that_stops_reports_nothing(tmp_path: Path) -> None:
    node = make_node(tmp_path, chain=FakeChain(errors=[ChainUnavailable(reason="down")] * 100))
    node.stop()

    with pytest.raises(WorkAborted):
        execute(node, signed(make_assignment(node.address, {"action": ACTION})))
    assert node.outbox.receipts == []


def test_a_broken_sandbox_is_tried_again(node: Any) -> None:
    failures = [SandboxBroken(reason="no room")]

    def answer(request: Any, handle: Any) -> bytes:
        if failures:
            raise failures.pop()
        return b"{}"

    node.executor.answer = answer

    assert result_of(node, script_spec(node))["status"] == "ok"


def test_an_answer_book_whose_disk_is_full_still_lets_the_receipt_out(
    node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, key: str, line: bytes) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(AnswerBook, "_append", refuse)

    assert result_of(node, {})["status"] == "ok"
