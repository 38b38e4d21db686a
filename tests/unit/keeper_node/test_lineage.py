"""What an attempt stands on: its parents' receipts, taken from anywhere and believed only where they hold."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.execution.data import receipt_from_json
from apps.execution.domain.receipt import judge_receipt, parents_of
from apps.kernel.errors import DomainError
from apps.kernel.ids import from_wire, new_id, to_wire
from apps.speculation.domain.lineage import Ground
from tests.factories.nodes import (
    awaiting,
    make_assignment,
    make_node,
    receipt_of,
    resigned,
    script_spec,
    signed,
)
from workers.keeper.errors import ParentReceiptForged, ParentReceiptMissing
from workers.keeper.execute import execute
from workers.keeper.task_spec import MAX_PARENTS


@pytest.fixture
def parent(tmp_path: Path) -> Any:
    """The keeper of the parent."""
    node = make_node(tmp_path)
    node.executor.answer = lambda request, handle: b'{"rows": 3}'
    return node


def _stdin(node: Any) -> Any:
    return json.loads(node.executor.requests[-1].stdin)


def test_a_child_reads_the_output_of_the_parent_it_waited_for(node: Any, parent: Any) -> None:
    load = receipt_of(parent, script_spec(parent))
    known = node.store.put(b'{"known": true}')
    assignment = make_assignment(
        node.address, script_spec(node, parents={"older": known}, **awaiting(load=load))
    )

    (receipt,) = execute(node, signed(assignment), receipts=[load])

    assert _stdin(node)["parents"] == {"load": {"rows": 3}, "older": {"known": True}}
    assert receipt["result"]["parents"] == {
        "load": {
            "task": load["task"],
            "epoch": load["epoch"],
            "output_cid": load["result"]["output_cid"],
            "output_hash": load["result"]["output_hash"],
        }
    }
    assert judge_receipt(receipt_from_json(receipt)[0], assignment.spec).is_accepted
    assert parents_of(receipt["result"]) == {
        from_wire("task", load["task"]): Ground(epoch=1, output_hash=load["result"]["output_hash"])
    }


def test_a_parent_that_only_came_before_is_named_and_not_read(node: Any, parent: Any) -> None:
    first = receipt_of(parent, script_spec(parent))
    spec = script_spec(node, **awaiting("order", first=first))

    (receipt,) = execute(node, signed(make_assignment(node.address, spec)), parents=[first])

    assert _stdin(node)["parents"] == {}
    assert receipt["result"]["parents"]["first"]["task"] == first["task"]


def test_the_package_binds_the_parents(node: Any, parent: Any) -> None:
    load = receipt_of(parent, script_spec(parent))
    (receipt,) = execute(
        node, signed(make_assignment(node.address, script_spec(node, **awaiting(load=load)))), receipts=[load]
    )

    package = json.loads(node.store.get(receipt["result"]["package_cid"]))

    assert package["action"]["parents"] == receipt["result"]["parents"]


def test_receipts_from_the_database_and_from_the_keeper_before_are_taken_together(
    node: Any, parent: Any
) -> None:
    left, right = (receipt_of(parent, script_spec(parent)) for _ in range(2))
    body = signed(make_assignment(node.address, script_spec(node, **awaiting(left=left, right=right))))

    execute(node, body, parents=[left], receipts=[right])

    assert sorted(_stdin(node)["parents"]) == ["left", "right"]


def test_a_childs_receipt_goes_out_after_those_of_its_parents_that_the_database_did_not_send(
    node: Any, parent: Any
) -> None:
    left, right = (receipt_of(parent, script_spec(parent)) for _ in range(2))
    body = signed(make_assignment(node.address, script_spec(node, **awaiting(left=left, right=right))))

    (own,) = execute(node, body, parents=[left], receipts=[{**right, "junk": "unsigned"}])

    assert node.outbox.receipts == [right, own]


def test_the_same_assignment_again_lets_the_chain_go_on_with_the_very_same_receipt(
    node: Any, parent: Any
) -> None:
    load = receipt_of(parent, script_spec(parent))
    body = signed(make_assignment(node.address, script_spec(node, **awaiting(load=load))))
    first = execute(node, body, receipts=[load])

    again = execute(node, body)

    assert again == first
    assert len(node.executor.requests) == 1
    assert node.outbox.receipts == [load, *first, load, *first]


def test_where_nothing_good_came_out_nothing_is_handed_on(node: Any) -> None:
    node.executor.answer = lambda request, handle: b"no json"
    body = signed(make_assignment(node.address, script_spec(node)))

    assert execute(node, body) == ()
    assert execute(node, body) == ()
    assert [receipt["result"]["status"] for receipt in node.outbox.receipts] == ["failed", "failed"]


def _refuse(node: Any, spec: Any, receipts: Any, error: type[DomainError]) -> None:
    body = signed(make_assignment(node.address, spec))
    with pytest.raises(error):
        execute(node, body, receipts=receipts)
    assert node.outbox.receipts == []
    assert node.executor.requests == []
    assert all(later.is_cancelled for later in node.outbox.laters)


def test_without_the_parents_receipt_nothing_starts_and_nothing_is_answered(node: Any, parent: Any) -> None:
    load = receipt_of(parent, script_spec(parent))
    spec = script_spec(node, **awaiting(load=load))

    junk: list[Any] = [None, [], "x", 5, {"load": load}, [None, 5, "x", [], {}], [{**load, "epoch": "1"}]]
    for receipts in junk:
        _refuse(node, spec, receipts, ParentReceiptMissing)


def test_a_refused_assignment_is_done_once_its_parents_receipt_is_there(node: Any, parent: Any) -> None:
    load = receipt_of(parent, script_spec(parent))
    body = signed(make_assignment(node.address, script_spec(node, **awaiting(load=load))))
    with pytest.raises(ParentReceiptMissing):
        execute(node, body)

    assert execute(node, body, parents=[load])


@pytest.mark.parametrize("member", ["epoch", "lease", "task"])
def test_the_receipt_of_another_attempt_is_none(node: Any, parent: Any, member: str) -> None:
    load = receipt_of(parent, script_spec(parent))
    spec = script_spec(node, **awaiting(load=load))
    others = {"epoch": 2, "lease": new_id().hex, "task": to_wire("task", new_id())}
    spec["awaits"]["load"][member] = others[member]

    _refuse(node, spec, [load], ParentReceiptMissing)


def test_a_receipt_altered_under_way_is_forged(node: Any, parent: Any) -> None:
    load = receipt_of(parent, script_spec(parent))
    other = node.store.put(b'{"rows": 4}')
    altered = {**load, "result": {**load["result"], "output_cid": other}}

    _refuse(node, script_spec(node, **awaiting(load=load)), [altered], ParentReceiptForged)


def test_the_word_of_a_keeper_that_held_no_lease_is_forged(node: Any, parent: Any, tmp_path: Path) -> None:
    load = receipt_of(parent, script_spec(parent))
    stranger = make_node(tmp_path)
    spec = script_spec(node, **awaiting(load=load))

    in_anothers_name = resigned(stranger, load)
    in_its_own = resigned(stranger, {**load, "keeper": stranger.address})
    named_otherwise = resigned(parent, {**load, "keeper": stranger.address})
    for foreign in (in_anothers_name, in_its_own, named_otherwise):
        _refuse(node, spec, [foreign], ParentReceiptForged)


def test_forged_receipts_beside_the_genuine_one_do_no_harm(node: Any, parent: Any, tmp_path: Path) -> None:
    load = receipt_of(parent, script_spec(parent))
    forged = [resigned(make_node(tmp_path), load) for _ in range(3)]
    body = signed(make_assignment(node.address, script_spec(node, **awaiting(load=load))))

    assert execute(node, body, receipts=[*forged, load])


def test_what_the_database_sent_is_not_crowded_out(node: Any, parent: Any) -> None:
    load = receipt_of(parent, script_spec(parent))
    body = signed(make_assignment(node.address, script_spec(node, **awaiting(load=load))))
    flood = [{**load, "lease": new_id().hex} for _ in range(2 * MAX_PARENTS)]

    assert execute(node, body, parents=[load], receipts=flood)


def test_a_parent_that_failed_is_nothing_to_stand_on(node: Any, parent: Any) -> None:
    load = receipt_of(parent, script_spec(parent))
    failed = resigned(parent, load, status="failed")

    _refuse(node, script_spec(node, **awaiting(load=load)), [failed], ParentReceiptMissing)


@pytest.mark.parametrize(
    "result", [{"output_hash": "0x" + "11" * 32}, {"output_cid": "x"}, {"output_cid": None}]
)
def test_a_parent_whose_hash_is_not_its_outputs_is_nothing_to_stand_on(
    node: Any, parent: Any, result: dict[str, Any]
) -> None:
    load = receipt_of(parent, script_spec(parent))
    unsound = resigned(parent, load, **result)

    _refuse(node, script_spec(node, **awaiting(load=load)), [unsound], ParentReceiptForged)


def test_a_parents_output_that_is_gone_fails_the_task(node: Any, parent: Any, tmp_path: Path) -> None:
    load = receipt_of(parent, script_spec(parent))
    spec = script_spec(node, **awaiting(load=load))
    for path in (tmp_path / "content").rglob(f"*{load['result']['output_cid']}*"):
        path.unlink()

    execute(node, signed(make_assignment(node.address, spec)), receipts=[load])

    assert node.outbox.receipts[-1]["result"]["error_code"] == "parent_output_missing"


AWAITED = {
    "task": to_wire("task", new_id()),
    "epoch": 1,
    "lease": new_id().hex,
    "keeper": "0x" + "ab" * 20,
    "kind": "data",
}


@pytest.mark.parametrize(
    "awaits",
    [
        [],
        {"load": None},
        {"load": {**AWAITED, "more": 1}},
        {"load": {name: AWAITED[name] for name in ("task", "epoch", "lease", "keeper")}},
        {"load": {**AWAITED, "kind": "other"}},
        {"load": {**AWAITED, "kind": []}},
        {"load": {**AWAITED, "epoch": 0}},
        {"load": {**AWAITED, "epoch": True}},
        {"load": {**AWAITED, "epoch": "1"}},
        {"load": {**AWAITED, "task": "run_" + "1" * 32}},
        {"load": {**AWAITED, "task": 5}},
        {"load": {**AWAITED, "lease": "1"}},
        {"load": {**AWAITED, "lease": None}},
        {"load": {**AWAITED, "keeper": "0x" + "AB" * 20}},
        {"load": AWAITED, "twice": AWAITED},
        {"older": AWAITED},
        {f"s{n}": {**AWAITED, "task": to_wire("task", new_id())} for n in range(MAX_PARENTS)},
    ],
)
def test_awaits_that_make_no_sense_fail_the_task(node: Any, awaits: Any) -> None:
    known = node.store.put(b"{}")
    spec = script_spec(node, parents={"older": known}, awaits=awaits)

    execute(node, signed(make_assignment(node.address, spec)))

    result = node.outbox.receipts[-1]["result"]
    assert (result["status"], result["error_code"]) == ("failed", "parameters_invalid")
    assert "awaits" in result["error_detail"]


def test_a_task_that_awaits_itself_fails(node: Any) -> None:
    task_id = new_id()
    spec = script_spec(node, awaits={"load": {**AWAITED, "task": to_wire("task", task_id)}})

    execute(node, signed(make_assignment(node.address, spec, task_id=task_id)))

    assert node.outbox.receipts[-1]["result"]["error_code"] == "parameters_invalid"
