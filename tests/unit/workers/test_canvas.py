"""A tree of messages as Celery takes it, and what is made of keepers' answers to an abort."""

import json
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from apps.kernel.outcome import AbortReply, Message, Revocation
from apps.speculation.domain.lineage import STAMP
from workers import canvas
from workers.canvas import dispatch, links_of, revoke, send

A, B = "0x" + "aa" * 20, "0x" + "bb" * 20
T1, T2, T3 = (f"task_{n}" * 8 for n in range(3))


def message(name: str, *following: Message, keeper: str = A) -> Message:
    return Message(
        keeper=keeper,
        task="keeper.execute",
        body={"assignment": {"task": name, "spec": {"params": "p" * 500}}, "parents": []},
        trace_id="ab" * 16,
        stamps=("root:1", f"{name}:1"),
        following=following,
    )


def shape(step: Any) -> Any:
    """A canvas as nested lists of task names: a chain is a list, a group a set of chains."""
    match step["subtask_type"]:
        case "group":
            return {"group": [shape(branch) for branch in step["kwargs"]["tasks"]]}
        case "chain":
            return [shape(one) for one in step["kwargs"]["tasks"]]
    return step["kwargs"]["assignment"]["task"]


def test_one_follower_makes_a_chain_and_several_a_group_at_its_end():
    tree = message(
        "a",
        message("b", message("c", message("d", message("e")), message("f", message("g"), message("h")))),
    )

    steps = json.loads(json.dumps(links_of(tree.following)))

    assert [shape(step) for step in steps] == [
        "b",
        "c",
        {"group": [["d", "e"], ["f", {"group": [["g"], ["h"]]}]]},
    ]


def test_nothing_follows_a_message_alone():
    assert links_of(message("a").following) == []


def test_every_link_bears_its_own_queue_trace_stamps_and_short_names():
    (link, fork) = links_of((message("b", message("c", keeper=B), message("d")),))

    (first, _) = fork["kwargs"]["tasks"]
    for step, name, keeper in ((link, "b", A), (first["kwargs"]["tasks"][0], "c", B)):
        options = step["options"]
        assert options["queue"] == f"keeper.{keeper}"
        assert options["headers"]["traceparent"].startswith(f"00-{'ab' * 16}-")
        assert (options["stamped_headers"], options[STAMP]) == ([STAMP], ["root:1", f"{name}:1"])
        assert (options["argsrepr"], options["kwargsrepr"]) == ("()", f"assignment {name}")


class Sender:
    """The control plane's Celery app, as far as it is used; it may be away."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[Any] = []
        self.is_away = False
        self.control = self

    def connection_for_write(self) -> Any:
        """Its connection."""
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def ensure_connection(self, **options: Any) -> None:
        """Fail where the broker is away."""
        assert options["max_retries"] <= 1
        if self.is_away:
            raise OperationalError("away")

    def revoke_by_stamped_headers(self, headers: Any, **options: Any) -> None:
        """See Control."""
        self.commands.append(("revoke", {"headers": headers, **options}))

    def broadcast(self, command: str, **options: Any) -> None:
        """See Control; every answer comes at once."""
        callback = options.pop("callback")
        del options["connection"]
        self.commands.append((command, options))
        for answer in self.answers:
            callback(answer)


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    """What the canvas sends through."""
    made = Sender()
    monkeypatch.setattr(canvas, "app", made)
    monkeypatch.setattr(canvas, "_app", made)
    return made


REVOCATIONS = (
    Revocation(rollback="r1", stamps=("a:1", "b:1"), aborts={A: ((T1, 1), (T2, 1)), B: ((T3, 2),)}),
    Revocation(rollback="r2", stamps=("c:1", "a:1"), aborts={A: ((T3, 1),)}),
)


def test_one_command_revokes_all_and_one_aborts_all_whatever_the_number_of_cascades(sender):
    revoke(REVOCATIONS)

    (revoked, aborted) = sender.commands
    assert revoked == (
        "revoke",
        {"headers": {STAMP: ["a:1", "b:1", "c:1"]}, "pattern": "keeper@*", "matcher": "glob"},
    )
    assert aborted == (
        "keeper.abort",
        {
            "arguments": {"attempts": [(T1, 1), (T2, 1), (T3, 1), (T3, 2)]},
            "destination": [f"keeper@{A}", f"keeper@{B}"],
            "reply": True,
            "timeout": 1.0,
        },
    )


def test_there_is_an_answer_for_each_keeper_of_each_cascade(sender):
    sender.answers = [{f"keeper@{A}": {"killed": [[T2, 1], [T3, 1]]}}]

    replies = revoke(REVOCATIONS)

    assert [(reply.rollback, reply.keeper, reply.is_confirmed, reply.killed) for reply in replies] == [
        ("r1", A, True, ((T2, 1),)),
        ("r1", B, False, ()),
        ("r2", A, True, ((T3, 1),)),
    ]
    assert [reply.milliseconds is None for reply in replies] == [False, True, False]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        {},
        {f"keeper@{A}": None},
        {f"keeper@{A}": {"error": "no"}},
        {f"keeper@{A}": {"killed": 5}},
        {f"keeper@{A}": {"killed": [5]}},
        {f"keeper@{A}": {"killed": [[T1, "x"]]}},
        {f"keeper@0x{'cc' * 20}": {"killed": []}},
    ],
)
def test_an_answer_that_makes_no_sense_confirms_nothing(sender, answer):
    sender.answers = [answer]

    assert not any(reply.is_confirmed for reply in revoke(REVOCATIONS))


def test_an_answer_that_comes_too_late_ends_the_waiting(sender, monkeypatch):
    times = iter([10.0, 10.2, 11.5])
    monkeypatch.setattr(canvas.time, "monotonic", lambda: next(times))
    sender.answers = [{f"keeper@{A}": {"killed": []}}, {f"keeper@{B}": {"killed": []}}, {"never": "seen"}]

    replies = revoke(REVOCATIONS[:1])

    assert [(reply.is_confirmed, reply.milliseconds) for reply in replies] == [(True, 200), (False, None)]


def test_a_broker_that_is_away_means_that_nobody_answered(sender):
    sender.is_away = True

    replies = revoke(REVOCATIONS[1:])

    assert replies == (AbortReply(rollback="r2", keeper=A, is_confirmed=False, milliseconds=None),)
    assert sender.commands == []


def test_stamps_alone_are_revoked_without_waiting_for_anybody(sender):
    assert revoke([Revocation(rollback="r", stamps=("a:1",))]) == ()
    assert [command for command, _ in sender.commands] == ["revoke"]


def test_nothing_to_send_asks_nothing_of_the_broker(sender):
    sender.is_away = True

    assert revoke([]) == ()
    assert revoke([Revocation(rollback="r", proofs=("p",))]) == ()
    send([])
    dispatch([])
    assert sender.commands == []
