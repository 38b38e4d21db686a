"""What a receipt may claim (invariants 11, 12 and 21)."""

from uuid import UUID

import coincurve
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.content.domain.cid import cid_digest
from apps.content.domain.unixfs import cid_of
from apps.execution.data import (
    Acknowledgement,
    Assignment,
    AssignmentStatus,
    Receipt,
    acknowledgement_from_json,
    assignment_from_json,
    receipt_body,
    receipt_from_json,
)
from apps.execution.domain.receipt import LeaseValue, judge_receipt, parents_of, require_lease, statement_of
from apps.execution.errors import AssignmentUnknown, EpochStale, LeaseClosed, LeaseForeign, MessageMalformed
from apps.kernel.eip712 import SignatureInvalid, TypedDomain, address_of, require_signer
from apps.kernel.hashing import to_hex
from apps.kernel.ids import to_wire
from apps.speculation.domain.lineage import Ground
from apps.tasks.data import TaskStatus

KEY = coincurve.PrivateKey(b"\x01" * 32)
KEEPER = address_of(KEY.public_key)
DOMAIN = TypedDomain(chain_id=31337, contract="0x" + "11" * 20)
TASK, LEASE = UUID(int=7 << 76 | 2 << 62), UUID(int=9)
SPEC = {"action": None}
OUTPUT, PACKAGE = cid_of(b"{}"), cid_of(b"package")
RESULT = {
    "status": "ok",
    "output_cid": OUTPUT,
    "output_hash": to_hex(cid_digest(OUTPUT)),
    "package_cid": PACKAGE,
    "action": None,
    "compute_units": 1,
    "cpu_ms": 1,
    "wall_ms": 1,
    "peak_memory_bytes": 1,
    "gas_used": 0,
}


def receipt(**changes) -> Receipt:
    return Receipt(task_id=TASK, epoch=1, lease=LEASE, keeper=KEEPER, result={**RESULT, **changes})


def held(**changes) -> LeaseValue:
    values = {
        "lease": LEASE,
        "epoch": 1,
        "task_epoch": 1,
        "task_status": TaskStatus.SCHEDULED,
        "keeper": KEEPER,
        "status": AssignmentStatus.OFFERED,
    }
    return LeaseValue(**{**values, **changes})


def test_every_message_survives_its_json_form_and_is_signed_by_its_sender():
    messages = [
        (receipt(), receipt_from_json),
        (Acknowledgement(task_id=TASK, epoch=1, lease=LEASE, keeper=KEEPER), acknowledgement_from_json),
        (
            Assignment(
                task_id=TASK, run_id=TASK, epoch=1, lease=LEASE, keeper=KEEPER, expires_at=9, spec={"a": 1}
            ),
            assignment_from_json,
        ),
    ]
    for message, parse in messages:
        body = message.to_json(domain=DOMAIN, key=KEY)
        again, signature = parse(body)
        assert again == message
        require_signer(again.digest(DOMAIN), signature, KEEPER)


@pytest.mark.parametrize(
    "other",
    [
        TypedDomain(chain_id=1, contract=DOMAIN.contract),
        TypedDomain(chain_id=31337, contract="0x" + "22" * 20),
    ],
)
def test_a_signature_is_good_on_one_chain_and_one_hub_only(other):
    body = receipt().to_json(domain=DOMAIN, key=KEY)
    again, signature = receipt_from_json(body)
    with pytest.raises(SignatureInvalid):
        require_signer(again.digest(other), signature, KEEPER)


@pytest.mark.parametrize("name", ["epoch", "lease", "result"])
def test_a_receipt_changed_after_signing_is_not_its_keepers(name):
    body = receipt().to_json(domain=DOMAIN, key=KEY)
    body[name] = {"epoch": 2, "lease": UUID(int=10).hex, "result": {**RESULT, "cpu_ms": 2}}[name]
    again, signature = receipt_from_json(body)
    with pytest.raises(SignatureInvalid):
        require_signer(again.digest(DOMAIN), signature, KEEPER)


def test_a_receipts_signature_is_no_acknowledgements():
    body = receipt().to_json(domain=DOMAIN, key=KEY)
    acknowledgement = Acknowledgement(task_id=TASK, epoch=1, lease=LEASE, keeper=KEEPER)
    with pytest.raises(SignatureInvalid):
        require_signer(acknowledgement.digest(DOMAIN), bytes.fromhex(body["signature"][2:]), KEEPER)


@pytest.mark.parametrize(
    ("held_lease", "error"),
    [
        (None, AssignmentUnknown),
        (held(lease=UUID(int=1)), AssignmentUnknown),
        (held(task_epoch=2), EpochStale),
        (held(keeper="0x" + "00" * 20), LeaseForeign),
        (held(status=AssignmentStatus.EXPIRED), LeaseClosed),
        (held(status=AssignmentStatus.RETURNED), LeaseClosed),
        *(
            (held(task_status=status), LeaseClosed)
            for status in sorted(set(TaskStatus) - {TaskStatus.SCHEDULED, TaskStatus.EXECUTING})
        ),
    ],
)
def test_a_claim_that_does_not_hold_is_refused_with_its_reason(held_lease, error):
    with pytest.raises(error):
        require_lease(LEASE, 1, KEEPER, held_lease)


def test_the_holder_of_a_live_lease_may_answer():
    require_lease(LEASE, 1, KEEPER, held())
    require_lease(LEASE, 1, KEEPER, held(status=AssignmentStatus.ACKNOWLEDGED))


def test_a_sound_result_is_accepted():
    assert judge_receipt(receipt(), SPEC).is_accepted


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"output_hash": "0x" + "00" * 32}, "output_hash_mismatch"),
        ({"output_hash": "0x00"}, "invalid"),
        ({"cpu_ms": -1}, "receipt_invalid"),
        ({"cpu_ms": True}, "receipt_invalid"),
        ({"compute_units": 1 << 53}, "receipt_invalid"),
        ({"package_cid": None}, "receipt_invalid"),
        ({"output_hash": 5}, "invalid"),
        ({"output_cid": "bafy"}, "cid_invalid"),
        ({"started_at": "Bearer abcdefghijklmnopqrstuvwx"}, "receipt_invalid"),
        ({"finished_at": 7}, "receipt_invalid"),
        ({"simulated_block": "0x1"}, "receipt_invalid"),
        ({"status": "perhaps"}, "receipt_invalid"),
        ({"action": {"target": "0x", "call_data": "0x", "gas_limit": 1}}, "receipt_invalid"),
        ({"status": "failed", "error_code": "script_timeout"}, "script_timeout"),
    ],
)
def test_a_result_that_contradicts_itself_is_a_failed_attempt_with_a_stable_code(changes, code):
    judgement = judge_receipt(receipt(**changes), SPEC)
    assert not judgement.is_accepted
    assert judgement.error_code == code


ACTION = {"target": "0x" + "77" * 20, "call_data": "0x01", "gas_limit": 5}


@pytest.mark.parametrize(
    ("changes", "is_accepted"),
    [
        ({}, True),
        ({"target": "0x" + "78" * 20}, False),
        ({"gas_limit": 6}, False),
        ({"call_data": "0x" + "00" * 1024}, True),
        ({"call_data": "0x" + "00" * 1025}, False),
        ({"call_data": 7}, False),
        ({"value": 1}, False),
    ],
)
def test_an_action_is_the_task_s_own_and_fits_the_hub(changes, is_accepted):
    spec = {"action": {"target": "0x" + "77" * 20, "gas_limit": 5}}
    assert judge_receipt(receipt(action={**ACTION, **changes}), spec).is_accepted is is_accepted


PARENT = {
    "task": to_wire("task", TASK),
    "epoch": 3,
    "output_cid": OUTPUT,
    "output_hash": RESULT["output_hash"],
}
AWAITED = {
    "task": PARENT["task"],
    "epoch": 3,
    "lease": LEASE.hex,
    "keeper": KEEPER,
    "kind": "data",
}


def test_a_result_names_what_it_was_made_from():
    result = receipt(parents={"load": PARENT})
    assert judge_receipt(result, {**SPEC, "awaits": {"load": AWAITED}}).is_accepted
    assert parents_of(result.result) == {TASK: Ground(epoch=3, output_hash=RESULT["output_hash"])}
    assert parents_of(RESULT) == {}


@pytest.mark.parametrize(
    ("parents", "code"),
    [
        (None, "receipt_invalid"),
        ({}, "receipt_invalid"),
        ([PARENT], "receipt_invalid"),
        ({"load": PARENT, "other": PARENT}, "receipt_invalid"),
        ({"other": PARENT}, "receipt_invalid"),
        ({"load": None}, "receipt_invalid"),
        ({"load": {**PARENT, "more": 1}}, "receipt_invalid"),
        ({"load": {**PARENT, "task": to_wire("task", LEASE)}}, "receipt_invalid"),
        ({"load": {**PARENT, "epoch": 2}}, "receipt_invalid"),
        ({"load": {**PARENT, "epoch": 3.0}}, "receipt_invalid"),
        ({"load": {**PARENT, "output_cid": None}}, "receipt_invalid"),
        ({"load": {**PARENT, "output_cid": PACKAGE}}, "output_hash_mismatch"),
        ({"load": {**PARENT, "output_hash": "0x" + "00" * 32}}, "output_hash_mismatch"),
        ({"load": {**PARENT, "output_cid": "bafy"}}, "cid_invalid"),
    ],
)
def test_a_result_that_does_not_name_what_was_awaited_is_a_failed_attempt(parents, code):
    judgement = judge_receipt(receipt(parents=parents), {**SPEC, "awaits": {"load": AWAITED}})
    assert (judgement.is_accepted, judgement.error_code) == (False, code)


def test_parents_that_nobody_awaited_are_not_accepted():
    assert not judge_receipt(receipt(parents={"load": PARENT}), SPEC).is_accepted
    assert judge_receipt(receipt(parents={}), SPEC).is_accepted


STATED = {"salt": "0x" + "01" * 32, "statement": "0x" + "02" * 32}


def test_a_statement_is_there_exactly_where_a_proof_is_asked_for():
    spec = {**SPEC, "proof": {"circuit": 16}}
    assert judge_receipt(receipt(**STATED), spec).is_accepted
    assert statement_of(STATED, spec) == (16, int("02" * 32, 16))
    assert statement_of(RESULT, {**SPEC, "proof": None}) == (0, 0)
    for bad in (
        {},
        {"salt": STATED["salt"]},
        {"statement": STATED["statement"]},
        {**STATED, "salt": "0x01"},
        {**STATED, "statement": STATED["statement"].replace("2", "A")},
        {**STATED, "statement": 5},
    ):
        assert judge_receipt(receipt(**bad), spec).error_code == "receipt_invalid"
    for unasked in (STATED, {"salt": STATED["salt"]}, {"statement": STATED["statement"]}):
        for none in (SPEC, {**SPEC, "proof": None}):
            assert judge_receipt(receipt(**unasked), none).error_code == "receipt_invalid"


def test_what_a_failing_script_printed_is_told_as_far_as_it_can_be():
    loud = judge_receipt(receipt(status="failed", error_code="x y", error_detail="\ud800" + "a" * 900), SPEC)
    assert loud.error_code == "unknown"
    assert loud.error_detail == "\ufffd" + "a" * 499
    secret = judge_receipt(
        receipt(status="failed", error_code="script_failed", error_detail="Bearer " + "a1" * 20), SPEC
    )
    assert secret.error_detail == "withheld: it looks like a secret"


@pytest.mark.parametrize("result", [{"error_detail": "a\x00b"}, {"a": [{"b\x00": 1}]}])
def test_a_receipt_that_no_database_keeps_is_malformed(result):
    body = receipt(**result).to_json(domain=DOMAIN, key=KEY)
    with pytest.raises(MessageMalformed):
        receipt_from_json(body)


def test_what_nobody_signed_is_not_kept_of_a_receipt():
    body = receipt().to_json(domain=DOMAIN, key=KEY)
    assert receipt_body({**body, "junk": "x" * 100}) == body


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_other_body_is_malformed_and_nothing_else(body):
    for parse in (receipt_from_json, assignment_from_json, acknowledgement_from_json):
        with pytest.raises(MessageMalformed):
            parse(body if isinstance(body, dict) else {"task": body})
