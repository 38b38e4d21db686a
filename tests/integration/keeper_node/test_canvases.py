"""Chains and groups across real node processes: one message in, every receipt out, and how they stop."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings

from apps.execution.data import Assignment, receipt_from_json
from apps.execution.domain.receipt import parents_of
from apps.kernel.eip712 import require_signer
from apps.kernel.ids import to_wire
from apps.kernel.outcome import Dispatch, Message, Revocation
from apps.speculation.domain.lineage import STAMP, Ground, stamp_of
from project import celery as project_celery
from project.celery import build_app
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import awaiting, make_assignment, make_node, receipt_of, resigned, signed
from tests.integration.keeper_node.surroundings import NodeProcess, Surroundings
from tests.support.waiting import wait_until
from workers import canvas
from workers.canvas import dispatch, keeper_queue, revoke, send
from workers.keeper.task_spec import PARENT_KINDS

COUNT = b"""
import json, sys
parents = json.load(sys.stdin)["parents"]
print(json.dumps({"count": 1 + sum(parent["count"] for parent in parents.values())}))
"""
SLOW = b"import time, json; time.sleep(2); print(json.dumps({'count': 1}))"
FOREVER = b"while True: pass"
FAILING = b"print('no json')"
TRACE = "ab" * 16


@pytest.fixture(autouse=True)
def _plane(around: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control plane's app speaks to the test's own broker."""
    app = build_app(replace(settings.FOREKEEP.broker, redis_url=around.redis.url, amqp_url=None))
    monkeypatch.setattr(project_celery, "app", app)
    monkeypatch.setattr(canvas, "app", app)
    monkeypatch.setattr(canvas, "_app", app)


class Lineage:
    """Tasks of one run, each with a lease given at once, that wait for each other."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.assignments: dict[str, Assignment] = {}
        self.stamps: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, keeper: str, parent: str = "", script: bytes = COUNT) -> "Lineage":
        """One task for a keeper, under a parent or none."""
        awaits = {} if not parent else {parent: self.awaited(parent)}
        spec = {
            "script": {"cid": self.around.store.put(script), "language": "python"},
            "awaits": awaits,
            "proof": {"circuit": 16},
        }
        made = make_assignment(keeper, spec)
        self.assignments[name] = made
        self.stamps[name] = (*self.stamps.get(parent, ()), stamp_of(made.task_id, made.epoch))
        return self

    def awaited(self, name: str) -> dict[str, Any]:
        """What a child's specification says of a task."""
        one = self.assignments[name]
        body = {"task": to_wire("task", one.task_id), "lease": one.lease.hex, "keeper": one.keeper}
        return {**body, "epoch": one.epoch, "kind": PARENT_KINDS[0]}

    def message(self, name: str, *following: Message) -> Message:
        """The message of a task and what follows it."""
        one = self.assignments[name]
        return Message(
            keeper=one.keeper,
            task="keeper.execute",
            body={"assignment": signed(one), "parents": []},
            trace_id=TRACE,
            stamps=self.stamps[name],
            following=following,
        )


def _results(bodies: list[dict[str, Any]]) -> Mapping[UUID, Mapping[str, Any]]:
    """Verified results by lease; the same lease has the same receipt however often it came."""
    found: dict[UUID, dict[str, Any]] = {}
    for body in bodies:
        receipt, signature = receipt_from_json(body)
        require_signer(receipt.digest(DOMAIN), signature, receipt.keeper)
        assert found.setdefault(receipt.lease, body) == body
    return {lease: body["result"] for lease, body in found.items()}


def _take_until(around: Surroundings, is_done: Callable[[Mapping[UUID, Any]], bool]) -> Mapping[UUID, Any]:
    """Receipts' results by lease, taken until there is enough."""
    bodies: list[dict[str, Any]] = []

    def collect() -> bool:
        for name, items in around.take_messages():
            bodies.extend(items if name == "workers.intake.receipts" else [])
        return is_done(_results(bodies))

    wait_until(collect, 30)
    return _results(bodies)


def test_one_message_runs_a_chain_and_what_it_forks_into(around: Surroundings) -> None:
    a, b = around.start_node(), around.start_node()
    run = (
        Lineage(around).add("load", a.address).add("clean", b.address, "load").add("fit", a.address, "clean")
    )
    run.add("left", b.address, "fit").add("right", a.address, "fit").add("last", a.address, "left")

    message = run.message
    fork = (message("left", message("last")), message("right"))
    send([message("load", message("clean", message("fit", *fork)))])
    results = _take_until(around, lambda found: len(found) == 6)

    counts = {"load": 1, "clean": 2, "fit": 3, "left": 4, "right": 4, "last": 5}
    parents = {"clean": "load", "fit": "clean", "left": "fit", "right": "fit", "last": "left"}
    for name, assignment in run.assignments.items():
        result = results[assignment.lease]
        assert json.loads(around.store.get(result["output_cid"])) == {"count": counts[name]}
        assert result["statement"].startswith("0x")
        claimed = parents_of(result)
        if name in parents:
            above = run.assignments[parents[name]]
            assert claimed == {
                above.task_id: Ground(epoch=1, output_hash=results[above.lease]["output_hash"])
            }
        else:
            assert claimed == {}
    with around.client() as client:
        assert not [key for key in client.scan_iter("*") if b"meta" in key or b"unacked" in key]


def test_a_link_that_a_keeper_sends_on_bears_what_the_control_plane_gave_it(around: Surroundings) -> None:
    a = around.start_node()
    absent, further = "0x" + "cd" * 20, "0x" + "ef" * 20
    run = Lineage(around).add("load", a.address).add("clean", absent, "load").add("fit", further, "clean")

    send([run.message("load", run.message("clean", run.message("fit")))])
    with around.client() as client:
        envelope = json.loads(wait_until(lambda: client.rpop(keeper_queue(absent)), 30))

    headers = envelope["headers"]
    (args, kwargs, embedded) = json.loads(base64.b64decode(envelope["body"]))
    assert headers["traceparent"].split("-")[1] == TRACE
    assert headers["stamped_headers"] == [STAMP]
    assert headers["stamps"] == {STAMP: list(run.stamps["clean"])}
    assert (headers["argsrepr"], headers["kwargsrepr"]) == (
        "()",
        f"assignment {kwargs['assignment']['task']}",
    )
    assert kwargs["assignment"] == signed(run.assignments["clean"])
    ((receipt,),) = args
    assert receipt["lease"] == run.assignments["load"].lease.hex
    (link,) = embedded["chain"]
    assert link["options"]["queue"] == keeper_queue(further)
    assert link["options"][STAMP] == list(run.stamps["fit"])


def test_a_keeper_takes_nothing_from_the_queues_it_sends_to_even_after_a_reconnection(
    around: Surroundings,
) -> None:
    a, absent = around.start_node(), "0x" + "cd" * 20
    run = Lineage(around).add("load", a.address).add("clean", absent, "load").add("again", a.address)
    send([run.message("load", run.message("clean"))])
    _take_until(around, lambda found: len(found) == 1)

    around.restart_redis()
    send([run.message("again")])

    results = _take_until(around, lambda found: run.assignments["again"].lease in found)
    assert results[run.assignments["again"].lease]["status"] == "ok"
    with around.client() as client:
        assert client.llen(keeper_queue(absent)) == 1


def test_a_chain_ends_where_nothing_good_came_out(around: Surroundings) -> None:
    a, b = around.start_node(), around.start_node()
    run = Lineage(around).add("load", a.address, script=FAILING).add("clean", b.address, "load")
    run.add("other", b.address)

    send([run.message("load", run.message("clean"))])
    results = _take_until(around, lambda found: len(found) == 1)
    send([run.message("other")])
    more = _take_until(around, lambda found: len(found) == 1)

    assert results[run.assignments["load"].lease]["error_code"] == "script_not_json"
    assert more.keys() == {run.assignments["other"].lease}
    assert "refused" not in b.log()


def test_a_parents_receipt_that_does_not_hold_is_refused_and_nothing_is_answered(
    around: Surroundings,
) -> None:
    child, parent, stranger = around.start_node(), make_node(around.folder), make_node(around.folder)
    load = receipt_of(parent)
    script = {"cid": around.store.put(b"print('{}')"), "language": "python"}
    body = signed(make_assignment(child.address, {"script": script, **awaiting(load=load)}))

    later = receipt_of(parent, epoch=2, task_id=UUID(hex=load["task"].removeprefix("task_")))
    foreign = resigned(stranger, {**load, "keeper": stranger.address})
    altered = {**load, "result": {**load["result"], "cpu_ms": 99}}
    codes: list[str] = []
    for count, wrong in enumerate((later, foreign, altered), start=1):
        around.send(child, "keeper.execute", assignment=body, parents=[wrong])
        codes = wait_until(partial(_refusals, child, count), 30)

    assert codes == ["parent_receipt_missing", "parent_receipt_forged", "parent_receipt_forged"]
    assert around.take_messages() == []
    around.send(child, "keeper.execute", assignment=body, parents=[load])
    assert around.take("receipts")[0]["result"]["status"] == "ok"


def _refusals(node: NodeProcess, count: int) -> list[str]:
    codes = [line["code"] for line in node.log_lines() if line["event"] == "assignment refused"]
    return codes if len(codes) >= count else []


def test_revoking_the_roots_stamp_discards_its_lineage_and_leaves_another_alone(around: Surroundings) -> None:
    busy, other = around.start_node(CONCURRENCY="1"), around.start_node()
    doomed, sound = Lineage(around), Lineage(around)
    doomed.add("root", busy.address, script=SLOW).add("follows", other.address, "root")
    doomed.add("queued", busy.address, "root").add("sent", other.address, "root")
    sound.add("root", busy.address).add("follows", other.address, "root")

    send([doomed.message("root", doomed.message("follows"))])
    around.take("acknowledgements")
    send([doomed.message("queued"), sound.message("root", sound.message("follows"))])
    revoke([Revocation(rollback="r", stamps=(doomed.stamps["root"][0],))])
    results = _take_until(around, lambda found: len(found) == 3)
    send([doomed.message("sent")])

    # the root itself was running: a revocation stops what has not begun
    leases = {one.lease for one in sound.assignments.values()} | {doomed.assignments["root"].lease}
    assert results.keys() == leases
    wait_until(lambda: _discarded(other) == 2, 30)
    assert _discarded(busy) == 1
    assert "refused" not in busy.log() + other.log()
    # a keeper hands over its parent's receipt too, which may come before the parent's own word
    late = _results([item for name, items in around.take_messages() for item in items if "receipts" in name])
    assert late.keys() <= leases


def _discarded(node: NodeProcess) -> int:
    events = [line["event"] for line in node.log_lines()]
    return sum(event.startswith("Discarding revoked") or event == "assignment revoked" for event in events)


def test_an_abort_kills_what_runs_and_says_so_and_the_dead_are_not_waited_for_long(
    around: Surroundings,
) -> None:
    node, absent = around.start_node(CONCURRENCY="1"), "0x" + "cd" * 20
    run = Lineage(around).add("load", node.address, script=FOREVER).add("clean", absent, "load")
    run.add("other", node.address)
    send([run.message("load", run.message("clean"))])
    around.take("acknowledgements")

    load, other = (to_wire("task", run.assignments[name].task_id) for name in ("load", "other"))
    (confirmed, silent) = sorted(
        revoke(
            [
                Revocation(rollback="r", aborts={node.address: ((load, 1), (other, 1))}),
                Revocation(rollback="s", aborts={absent: ((load, 1),)}),
            ]
        ),
        key=lambda reply: reply.rollback,
    )

    assert (confirmed.keeper, confirmed.is_confirmed, confirmed.killed) == (node.address, True, ((load, 1),))
    assert confirmed.milliseconds is not None
    assert confirmed.milliseconds < settings.FOREKEEP.rollback.abort_reply_seconds * 1000
    assert (silent.keeper, silent.is_confirmed, silent.milliseconds) == (absent, False, None)

    # its thread is free, the attempt told of before it came does not start, and the chain went no further
    fresh = Lineage(around).add("next", node.address)
    send([run.message("other"), fresh.message("next")])
    results = _take_until(around, lambda found: len(found) == 1)
    assert results.keys() == {fresh.assignments["next"].lease}
    assert "assignment aborted" in node.log()
    assert _refusals(node, 1) == ["epoch_stale"]
    with around.client() as client:
        assert client.llen(keeper_queue(absent)) == 0
        assert not [key for key in client.scan_iter("*") if b"reply" in key]


def test_messages_between_stages_go_to_their_queue_with_their_trace(around: Surroundings) -> None:
    one = Dispatch(task="workers.proofs.generate", queue="proofs", body={"ids": ["x"]}, trace_id=TRACE)

    dispatch([one, one])

    with around.client() as client:
        assert client.llen("proofs") == 2
        envelope = json.loads(client.rpop("proofs"))
    assert envelope["headers"]["task"] == "workers.proofs.generate"
    assert envelope["headers"]["traceparent"].split("-")[1] == TRACE
    assert json.loads(base64.b64decode(envelope["body"]))[1] == {"ids": ["x"]}


def test_a_broker_that_is_away_stops_nobody(around: Surroundings) -> None:
    run = Lineage(around).add("load", "0x" + "cd" * 20)
    around.redis.stop()

    send([run.message("load")])
    dispatch([Dispatch(task="t", queue="q", body={}, trace_id=TRACE)])
    replies = revoke([Revocation(rollback="r", stamps=("x:1",), aborts={"0x" + "cd" * 20: ()})])

    assert [reply.is_confirmed for reply in replies] == [False]
