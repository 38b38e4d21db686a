"""A real node process over a real broker: work in, receipts out, whatever happens to either."""

import base64
import json
import pickle
from typing import Any

import pytest

from apps.attestation.data import ballot_from_json
from apps.execution.data import receipt_from_json
from apps.kernel import bls
from apps.kernel.eip712 import require_signer
from apps.kernel.settlement_hash import settlement_message
from apps.speculation.domain.lineage import STAMP
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import (
    ACTION,
    DISPATCHER,
    SYMBOL,
    make_assignment,
    make_call,
    signed,
    unsigned,
)
from tests.integration.keeper_node.surroundings import NodeProcess, Surroundings
from tests.support.waiting import wait_until
from workers.keeper.sandbox.deno import find_deno

ADD = b"""
import json, sys
given = json.load(sys.stdin)
rows = open("inputs/rows.csv").read().split()
print(json.dumps({"sum": sum(map(int, rows)) + given["parents"]["load"]["rows"], "params": given["params"]}))
"""
RANDOM = b"import json, os; print(json.dumps({'random': os.urandom(8).hex()}))"
FOREVER = b"while True: pass"
TRACEPARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


def _script(around: Surroundings, source: bytes, **changes: Any) -> dict[str, Any]:
    return {"script": {"cid": around.store.put(source), "language": "python"}, **changes}


def _execute(around: Surroundings, node: NodeProcess, spec: dict[str, Any]) -> dict[str, Any]:
    """Have a node execute a task; its verified result."""
    around.send(node, "keeper.execute", assignment=signed(make_assignment(node.address, spec)))
    (body,) = around.take("receipts")
    receipt, signature = receipt_from_json(body)
    require_signer(receipt.digest(DOMAIN), signature, node.address)
    return dict(receipt.result)


def test_an_assignment_goes_in_and_a_receipt_comes_out(around: Surroundings) -> None:
    node = around.start_node()
    spec = _script(
        around,
        ADD,
        inputs={"rows.csv": around.store.put(b"1\n2\n3\n")},
        parents={"load": around.store.put(b'{"rows":4}')},
        params={"a": 1},
    )
    body = signed(make_assignment(node.address, spec))

    around.send(node, "keeper.execute", assignment=body, headers={"traceparent": TRACEPARENT})
    (receipt,) = around.take("receipts")

    result = receipt["result"]
    assert result["status"] == "ok", result
    assert json.loads(around.store.get(result["output_cid"])) == {"params": {"a": 1}, "sum": 10}
    assert result["compute_units"] >= result["cpu_ms"] > 0
    assert result["peak_memory_bytes"] > 1_000_000
    assert around.plane.posts[0][0] == "/keeper/checkin"

    around.send(node, "keeper.execute", assignment={**body, "epoch": 9}, headers={"traceparent": TRACEPARENT})
    wait_until(lambda: "assignment refused" in node.log())
    (line,) = [line for line in node.log_lines() if line["event"] == "assignment refused"]
    assert (line["code"], line["trace_id"]) == ("signature_invalid", "ab" * 16)
    assert around.take_messages() == []


def test_a_node_killed_and_asked_again_gives_the_very_same_receipt(around: Surroundings) -> None:
    node = around.start_node()
    body = signed(make_assignment(node.address, _script(around, RANDOM)))
    around.send(node, "keeper.execute", assignment=body)
    (first,) = around.take("receipts")

    node.kill()
    node.start()
    around.send(node, "keeper.execute", assignment=body)
    (second,) = around.take("receipts")

    assert second == first


def test_work_lost_to_a_kill_is_done_when_it_is_sent_again(around: Surroundings) -> None:
    node = around.start_node()
    slow = b"import time, json; time.sleep(3); print(json.dumps({'done': True}))"
    body = signed(make_assignment(node.address, _script(around, slow)))
    around.send(node, "keeper.execute", assignment=body)
    around.take("acknowledgements")
    node.kill()

    node.start()
    around.send(node, "keeper.execute", assignment=body)

    (receipt,) = around.take("receipts")
    assert receipt["result"]["status"] == "ok"


def test_redis_goes_away_and_comes_back_and_nothing_done_is_lost(around: Surroundings) -> None:
    node = around.start_node()
    slow = b"import time, json; time.sleep(1.5); print(json.dumps({'done': True}))"
    body = signed(make_assignment(node.address, _script(around, slow)))
    around.send(node, "keeper.execute", assignment=body)
    around.take("acknowledgements")

    around.redis.stop()
    wait_until(lambda: "broker is away" in node.log(), 30)
    around.restart_redis()

    (kept,) = around.take("receipts", timeout_seconds=60)
    assert kept["lease"] == body["lease"]
    again = signed(make_assignment(node.address, _script(around, RANDOM)))
    around.send(node, "keeper.execute", assignment=again)
    (receipt,) = around.take("receipts", timeout_seconds=60)
    assert receipt["lease"] == again["lease"]
    assert node.process is not None
    assert node.process.poll() is None


def _envelope(body: bytes, **changes: Any) -> str:
    properties = {
        "correlation_id": "x",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "x"},
        "body_encoding": "base64",
        "delivery_tag": "tag",
        "priority": 0,
    }
    envelope = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "keeper.execute", "id": "1", "lang": "py"},
        "properties": properties,
    }
    return json.dumps({**envelope, **changes})


def _stamped(stamps: Any) -> dict[str, Any]:
    return {"stamped_headers": [STAMP], "stamps": stamps}


def test_nothing_pushed_on_its_queue_ends_a_node(around: Surroundings) -> None:
    node = around.start_node()
    assert node.process is not None
    pid = node.process.pid
    valid = json.dumps([[], {"assignment": {}}, {}]).encode()
    junk: list[str | bytes] = [
        "not json",
        b"\xff\xfe\x00",
        "",
        "5",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"properties": 5}',
        '{"properties": {"delivery_tag": "x"}, "body": "!!!"}',
        _envelope(b"not json"),
        _envelope(b"5"),
        _envelope(b"[]"),
        _envelope(json.dumps([[], {}, {}]).encode()),
        _envelope(json.dumps([["positional", "twice"], {}, {}]).encode()),
        _envelope(json.dumps([[], {"assignment": "text"}, {}]).encode()),
        _envelope(json.dumps([[], {"assignment": None, "extra": 1}, {}]).encode()),
        _envelope(valid, headers={"task": "os.system", "id": "2", "lang": "py"}),
        _envelope(valid, headers={"task": "workers.intake.receipts", "id": "3", "lang": "py"}),
        _envelope(valid, headers={}),
        _envelope(valid, headers={"task": "keeper.execute", "id": "4", "lang": "py", "eta": "soon"}),
        _envelope(valid, headers={"task": "keeper.execute", "id": "5", "lang": "py", "traceparent": 7}),
        _envelope(valid, headers={"task": "keeper.execute", "id": "6", "lang": "py", "stamped_headers": 5}),
        _envelope(valid, headers={"task": "keeper.execute", "id": "7", "lang": "py", **_stamped([])}),
        _envelope(valid, headers={"task": "keeper.execute", "id": "8", "lang": "py", **_stamped("x")}),
        _envelope(
            valid, headers={"task": "keeper.execute", "id": "9", "lang": "py", **_stamped({STAMP: [[5]]})}
        ),
        _envelope(json.dumps([["x"], {"assignment": {}}, {"chain": 5, "callbacks": "x"}]).encode()),
        _envelope(json.dumps([[None], {"assignment": {}, "parents": 5}, {"chain": ["x"]}]).encode()),
        _envelope(pickle.dumps([[], {}, {}]), **{"content-type": "application/x-python-serialize"}),
        _envelope(valid, **{"content-type": "application/unknown"}),
        _envelope(valid, properties=None),
    ]
    with around.client() as client:
        for item in junk:
            client.lpush(node.queue, item)

    result = _execute(around, node, _script(around, RANDOM))

    assert result["status"] == "ok"
    assert node.process.poll() is None
    assert node.process.pid == pid
    with around.client() as client:
        assert client.llen(node.queue) == 0


def test_two_nodes_perform_and_attest(around: Surroundings) -> None:
    performer, attester = around.start_node(), around.start_node()
    script = f"import json; print(json.dumps({{'arguments': ['{SYMBOL}', '12345678901234567890']}}))".encode()
    spec = _script(around, script, action=ACTION, arguments={"kind": "dynamic", "values": []})
    assignments = [make_assignment(performer.address, spec) for _ in range(3)]
    for assignment in assignments:
        around.send(performer, "keeper.execute", assignment=signed(assignment))
    receipts = {receipt["lease"]: receipt for receipt in around.take("receipts", 3)}
    items = [{"assignment": unsigned(one), "receipt": receipts[one.lease.hex]} for one in assignments]
    call = make_call(attester.address, items)

    around.send(attester, "keeper.attest", call=call.to_json(domain=DOMAIN, key=DISPATCHER))
    (body,) = around.take("ballots")

    ballot = ballot_from_json(body)
    assert ballot.reasons == ("", "", "")
    message = settlement_message(chain_id=DOMAIN.chain_id, hub=DOMAIN.contract, root=ballot.root)
    assert bls.verify(attester.identity.bls_public_key, message, ballot.signature)


TYPED = b"""
enum Symbol { Rain = "rain" }
type Told = { params: { rows: number[] }; parents: Record<string, { offset: number }> };
const told: Told = await new Response(Deno.stdin.readable).json();
const rows: number[] = Deno.readTextFileSync("inputs/rows.csv").trim().split("\\n").map(Number);
const sum = [...rows, ...told.params.rows].reduce((a, b) => a + b, told.parents.load.offset);
console.log(JSON.stringify({ sum, symbol: Symbol.Rain, random: Math.floor(Math.random() * 1e6) }));
"""


@pytest.mark.skipif(find_deno() is None, reason="this machine has no deno")
def test_two_nodes_agree_on_a_script_in_typescript(around: Surroundings) -> None:
    performer, attester = around.start_node(), around.start_node()
    spec = {
        "script": {"cid": around.store.put(TYPED), "language": "typescript"},
        "inputs": {"rows.csv": around.store.put(b"1\n2\n3\n")},
        "parents": {"load": around.store.put(b'{"offset":4}')},
        "params": {"rows": [5, 6]},
    }
    assignment = make_assignment(performer.address, spec)
    around.send(performer, "keeper.execute", assignment=signed(assignment))
    (receipt,) = around.take("receipts")
    result = receipt["result"]
    assert result["status"] == "ok", result
    output = json.loads(around.store.get(result["output_cid"]))
    assert (output["sum"], output["symbol"]) == (21, "rain")

    call = make_call(attester.address, [{"assignment": unsigned(assignment), "receipt": receipt}])
    around.send(attester, "keeper.attest", call=call.to_json(domain=DOMAIN, key=DISPATCHER))
    (body,) = around.take("ballots")
    assert ballot_from_json(body).reasons == ("",)
    wait_until(lambda: any(path == "/keeper/register" for path, _ in around.plane.posts))
    told = {
        name
        for path, post in around.plane.posts
        if path == "/keeper/register"
        for name in post["capabilities"]
    }
    assert told == {f"chain:{DOMAIN.chain_id}", "javascript", "python", "typescript"}


def test_a_running_script_is_aborted_by_command_though_every_thread_is_busy(around: Surroundings) -> None:
    node = around.start_node(CONCURRENCY="1")
    assignment = make_assignment(node.address, _script(around, FOREVER))
    around.send(node, "keeper.execute", assignment=signed(assignment))
    around.take("acknowledgements")

    around.sender.control.broadcast(
        "keeper.abort",
        arguments={"attempts": [(f"task_{assignment.task_id.hex}", assignment.epoch)]},
        destination=[f"keeper@{node.address}"],
    )

    assert _execute(around, node, _script(around, RANDOM))["status"] == "ok"
    assert "assignment aborted" in node.log()
    around.sender.control.broadcast(
        "keeper.abort", arguments={"attempts": [("nonsense", "x"), 5]}, destination=[f"keeper@{node.address}"]
    )
    assert _execute(around, node, _script(around, RANDOM))["status"] == "ok"


def test_a_node_stops_within_five_seconds_though_a_script_runs(around: Surroundings) -> None:
    node = around.start_node()
    around.send(
        node, "keeper.execute", assignment=signed(make_assignment(node.address, _script(around, FOREVER)))
    )
    around.take("acknowledgements")

    assert node.stop(5) == 0
    assert around.take_messages() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CHAIN_ID": "x"}, "CHAIN_ID"),
        ({"BROKER_URL": ""}, "BROKER_URL"),
        ({"SANDBOX_ENGINE": "docker", "DOCKER_HOST": "unix:///nowhere"}, "docker"),
        ({"CONTENT_URL": "file://elsewhere/x"}, "elsewhere"),
        ({"EXECUTOR": "tests.factories.nodes:FakeExecutor"}, "EXECUTOR"),
    ],
)
def test_a_node_that_is_set_up_wrongly_says_so_and_ends_with_two(
    around: Surroundings, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(AssertionError):
        around.start_node(**changes)

    (node,) = around.nodes
    assert node.process is not None
    assert node.process.returncode == 2
    (line,) = [line for line in node.log().splitlines() if "cannot start" in line]
    assert said in line
