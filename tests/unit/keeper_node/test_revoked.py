"""What is revoked or aborted: kept within bounds, and stopped before it starts."""

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker import state
from celery.worker.control import Panel
from celery.worker.request import Request

from apps.execution.errors import EpochStale
from apps.kernel.errors import Invalid
from apps.kernel.ids import new_id, to_wire
from apps.speculation.domain.lineage import STAMP
from tests.factories.nodes import make_assignment, signed
from workers.keeper.app import abort_attempts
from workers.keeper.execute import execute
from workers.keeper.revoked import RevokedStamps, install_revoked_stamps


@pytest.fixture
def revoked() -> Any:
    """The process' set of revoked stamps, as a node has it."""
    yield install_revoked_stamps()
    state.revoked_stamps.clear()


def _revoke(*stamps: str) -> None:
    """What arrives with Celery's own command."""
    Panel.data["revoke_by_stamped_headers"](SimpleNamespace(), {STAMP: list(stamps)})


class Inbox:
    """Messages as a worker has them once they came in."""

    def __init__(self) -> None:
        self.app: Any = Celery("test", broker="memory://", backend=None, set_as_current=False)

        @self.app.task(name="keeper.execute", shared=False)
        def work() -> None:
            """Nothing."""

        self.task = work

    def is_revoked(self, *stamps: str) -> bool:
        """Whether Celery discards a message with these stamps."""
        headers = {
            "id": "1",
            "task": "keeper.execute",
            "stamped_headers": [STAMP],
            "stamps": {STAMP: list(stamps)},
        }
        message = SimpleNamespace(
            headers=headers,
            body="",
            content_type="application/json",
            content_encoding="utf-8",
            payload=((), {}, {}),
            delivery_info={},
            properties={},
        )
        return bool(Request(message, app=self.app, task=self.task, on_ack=lambda *_: None).revoked())


def test_celery_keeps_what_it_revokes_in_the_set_and_discards_by_it(revoked: RevokedStamps) -> None:
    inbox = Inbox()
    _revoke("a:1")
    _revoke("b:1", "c:2")

    assert list(revoked) == ["a:1", "b:1", "c:2"]
    assert inbox.is_revoked("a:1")
    assert inbox.is_revoked("x:1", "c:2")
    assert not inbox.is_revoked("a:2", "x:1")
    assert not inbox.is_revoked()


def test_the_same_stamp_again_is_kept_once_and_counts_as_new(revoked: RevokedStamps) -> None:
    _revoke("a:1", "b:1")
    _revoke("a:1")

    assert list(revoked) == ["b:1", "a:1"]


def test_the_oldest_stamps_are_forgotten_beyond_the_bound() -> None:
    kept = RevokedStamps(capacity=3)
    kept += ["a:1", "b:1"]
    kept += ["c:1", "d:1"]

    assert list(kept) == ["b:1", "c:1", "d:1"]
    assert "a:1" not in kept
    assert kept


def test_a_message_is_looked_at_again_when_its_turn_comes(revoked: RevokedStamps) -> None:
    _revoke("a:1")

    assert revoked.is_revoking(SimpleNamespace(stamps={STAMP: ["b:1", "a:1"]}))
    others: list[Any] = [
        None,
        {},
        [],
        "a:1",
        {STAMP: None},
        {STAMP: "a:1"},
        {STAMP: [["a:1"]]},
        {"x": ["a:1"]},
    ]
    for stamps in others:
        assert not revoked.is_revoking(SimpleNamespace(stamps=stamps))
    assert not revoked.is_revoking(SimpleNamespace())


def test_an_abort_names_those_that_ran_and_keeps_the_others_from_starting(node: Any) -> None:
    running, waiting = new_id(), new_id()
    with node.leases.working(running, 3, new_id()) as handle:
        killed = abort_attempts(node, [(to_wire("task", running), 3), (to_wire("task", waiting), 1)])

    assert killed == [(to_wire("task", running), 3)]
    assert handle.is_aborted
    with pytest.raises(EpochStale):
        execute(node, signed(make_assignment(node.address, task_id=waiting)))
    assert execute(node, signed(make_assignment(node.address, task_id=waiting, epoch=2)))


def test_an_abort_of_an_earlier_attempt_leaves_the_later_one_alone(node: Any) -> None:
    task_id = new_id()
    with node.leases.working(task_id, 4, new_id()) as handle:
        assert abort_attempts(node, [(to_wire("task", task_id), 3)]) == []
        assert not handle.is_aborted


def test_an_abort_that_is_malformed_anywhere_stops_nothing(node: Any) -> None:
    task_id = new_id()
    good = (to_wire("task", task_id), 1)
    with node.leases.working(task_id, 1, new_id()) as handle:
        for bad in (("nonsense", 1), (to_wire("run", task_id), 1), (to_wire("task", task_id), "x")):
            with pytest.raises((Invalid, ValueError)):
                abort_attempts(node, json.loads(json.dumps([good, bad])))
        assert not handle.is_aborted


def test_stamps_may_come_from_one_thread_while_another_looks() -> None:
    kept = RevokedStamps(capacity=50)
    errors: list[BaseException] = []

    def look() -> None:
        try:
            for _ in range(300):
                assert "never" not in kept
                list(kept)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(2_000):
        kept += [f"{n}:1"]
    for thread in threads:
        thread.join()
    assert errors == []
