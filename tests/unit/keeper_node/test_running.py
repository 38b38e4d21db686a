"""Work under way: acknowledged, not doubled, aborted, overtaken."""

import threading
from typing import Any

import pytest

from apps.execution.data import acknowledgement_from_json
from apps.execution.errors import EpochStale
from apps.kernel.eip712 import require_signer
from apps.kernel.ids import new_id
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import (
    make_assignment,
    ran,
    script_spec,
    signed,
)
from tests.support.waiting import wait_until
from workers.keeper.errors import (
    WorkAborted,
)
from workers.keeper.execute import execute
from workers.keeper.leases import LeaseRunning
from workers.keeper.sandbox.data import FailureCode, SandboxStatus


class Held:
    """A script that runs until it is let go or aborted."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, request: Any, handle: Any) -> Any:
        """The fake executor's answer."""
        handle.attach(self.let_go.set)
        self.started.set()
        assert self.let_go.wait(10)
        if handle.is_aborted:
            return ran(status=SandboxStatus.FAILED, code=FailureCode.ABORTED, exit_code=None)
        return b"{}"


class Running:
    """An execution in a thread of its own."""

    def __init__(self, node: Any, body: Any) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(node, body))
        self._thread.start()

    def _run(self, node: Any, body: Any) -> None:
        try:
            execute(node, body)
        except BaseException as exc:
            self.error = exc

    def end(self) -> BaseException | None:
        """Wait for its end; what it raised."""
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.error


@pytest.fixture
def held(node: Any) -> Held:
    """Scripts of the node are held."""
    node.executor.answer = Held()
    return node.executor.answer


def test_work_that_lasts_is_acknowledged_and_work_that_is_done_is_not(node: Any, held: Held) -> None:
    assignment = make_assignment(node.address, script_spec(node))
    running = Running(node, signed(assignment))
    held.started.wait(10)
    (later,) = node.outbox.laters

    assert not later.is_cancelled
    acknowledgement, signature = acknowledgement_from_json(dict(later.make()))
    require_signer(acknowledgement.digest(DOMAIN), signature, node.address)
    assert acknowledgement.lease == assignment.lease

    held.let_go.set()
    assert running.end() is None
    assert later.is_cancelled


def test_an_assignment_repeated_while_it_runs_does_not_run_twice(node: Any, held: Held) -> None:
    body = signed(make_assignment(node.address, script_spec(node)))
    running = Running(node, body)
    held.started.wait(10)

    with pytest.raises(LeaseRunning):
        execute(node, body)

    held.let_go.set()
    assert running.end() is None
    assert len(node.outbox.receipts) == 1


def test_aborted_work_reports_nothing_and_does_not_start_again(node: Any, held: Held) -> None:
    assignment = make_assignment(node.address, script_spec(node))
    running = Running(node, signed(assignment))
    held.started.wait(10)

    assert node.leases.abort(assignment.task_id, assignment.epoch)

    assert isinstance(running.end(), WorkAborted)
    assert node.outbox.receipts == []
    with pytest.raises(EpochStale):
        execute(node, signed(assignment))


def test_a_newer_attempt_stops_the_older_one(node: Any, held: Held) -> None:
    task_id = new_id()
    older = make_assignment(node.address, script_spec(node), task_id=task_id, epoch=1)
    running = Running(node, signed(older))
    held.started.wait(10)

    node.executor.answer = lambda request, handle: b'{"second": true}'
    execute(node, signed(make_assignment(node.address, script_spec(node), task_id=task_id, epoch=2)))

    assert isinstance(running.end(), WorkAborted)
    assert [receipt["epoch"] for receipt in node.outbox.receipts] == [2]


def test_a_stopping_node_stops_its_scripts(node: Any, held: Held) -> None:
    running = Running(node, signed(make_assignment(node.address, script_spec(node))))
    held.started.wait(10)

    node.stop()

    assert isinstance(running.end(), WorkAborted)
    wait_until(lambda: node.leases.abort_all() == 0)
