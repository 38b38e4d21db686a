"""What goes back: in company, in order, kept while the broker is away."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.support.waiting import wait_until
from workers.keeper.outbox import ACKNOWLEDGEMENTS, BALLOTS, RECEIPTS, Item, Outbox, Unsendable


class Broker:
    """Takes messages, unless it is away."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[Any]]] = []
        self.is_away = threading.Event()
        self.attempts = 0
        self.unsendable: list[Any] = []

    def __call__(self, kind: str, items: Sequence[Item]) -> None:
        """See Outbox.send."""
        self.attempts += 1
        if self.is_away.is_set():
            raise ConnectionError("away")
        if any(item in self.unsendable for item in items):
            raise Unsendable("no JSON")
        self.messages.append((kind, list(items)))

    def numbers(self, kind: str) -> list[int]:
        """What arrived, in order."""
        return [item["n"] for found, items in self.messages if found == kind for item in items]


@pytest.fixture
def broker() -> Broker:
    """A broker that is there."""
    return Broker()


@pytest.fixture
def outbox(broker: Broker) -> Iterator[Outbox]:
    """A running outbox that lingers long enough for a test to fill a message."""
    box = Outbox(broker, linger_seconds=0.05, batch=4, capacity=10)
    box.start()
    yield box
    box.close()


def test_items_that_come_together_leave_in_one_message(outbox: Outbox, broker: Broker) -> None:
    for n in range(3):
        outbox.add(RECEIPTS, {"n": n})

    wait_until(lambda: broker.messages)
    assert broker.messages == [(RECEIPTS, [{"n": 0}, {"n": 1}, {"n": 2}])]


def test_a_full_message_leaves_at_once_and_the_rest_follows(broker: Broker) -> None:
    box = Outbox(broker, linger_seconds=60, batch=4)
    box.start()
    for n in range(4):
        box.add(RECEIPTS, {"n": n})

    wait_until(lambda: broker.numbers(RECEIPTS) == [0, 1, 2, 3])
    box.close()


def test_each_kind_has_its_own_message(outbox: Outbox, broker: Broker) -> None:
    outbox.add(RECEIPTS, {"n": 1})
    outbox.add(BALLOTS, {"n": 2})

    wait_until(lambda: len(broker.messages) == 2)
    assert broker.numbers(RECEIPTS) == [1]
    assert broker.numbers(BALLOTS) == [2]


def test_an_acknowledgement_ripens_unless_it_is_taken_back(outbox: Outbox, broker: Broker) -> None:
    outbox.acknowledge_after(0.01, lambda: {"n": 1})
    outbox.acknowledge_after(0.01, lambda: {"n": 2}).cancel()

    wait_until(lambda: broker.numbers(ACKNOWLEDGEMENTS))
    outbox.add(RECEIPTS, {"n": 3})
    wait_until(lambda: broker.numbers(RECEIPTS))
    assert broker.numbers(ACKNOWLEDGEMENTS) == [1]


def test_an_acknowledgement_that_cannot_be_made_stops_nothing(outbox: Outbox, broker: Broker) -> None:
    def fail() -> Item:
        raise RuntimeError("a bug")

    outbox.acknowledge_after(0.0, fail)
    outbox.add(RECEIPTS, {"n": 1})

    wait_until(lambda: broker.numbers(RECEIPTS) == [1])


def test_while_the_broker_is_away_items_are_kept_in_order(outbox: Outbox, broker: Broker) -> None:
    broker.is_away.set()
    outbox.add(RECEIPTS, {"n": 0})
    wait_until(lambda: broker.attempts >= 2)
    for n in range(1, 6):
        outbox.add(RECEIPTS, {"n": n})
    assert outbox.waiting_count() >= 5

    broker.is_away.clear()

    wait_until(lambda: broker.numbers(RECEIPTS) == [0, 1, 2, 3, 4, 5])


def test_beyond_the_bound_acknowledgements_go_first_then_the_oldest(broker: Broker) -> None:
    broker.is_away.set()
    box = Outbox(broker, linger_seconds=0.001, batch=100, capacity=5)
    box.add(ACKNOWLEDGEMENTS, {"n": 100})
    for n in range(7):
        box.add(RECEIPTS, {"n": n})
    assert box.waiting_count() == 5

    broker.is_away.clear()
    box.start()

    wait_until(lambda: broker.numbers(RECEIPTS) == [2, 3, 4, 5, 6])
    assert broker.numbers(ACKNOWLEDGEMENTS) == []
    box.close()


def test_what_no_broker_takes_is_dropped_and_holds_up_nobody(outbox: Outbox, broker: Broker) -> None:
    broker.unsendable = [{"n": 1}]
    outbox.add(RECEIPTS, {"n": 1})
    wait_until(lambda: broker.attempts)

    outbox.add(RECEIPTS, {"n": 2})

    wait_until(lambda: broker.numbers(RECEIPTS) == [2])


def test_closing_sends_what_waits(broker: Broker) -> None:
    box = Outbox(broker, linger_seconds=60, batch=2)
    box.start()
    for n in range(5):
        box.add(BALLOTS, {"n": n})

    box.close()

    assert broker.numbers(BALLOTS) == [0, 1, 2, 3, 4]


def test_closing_does_not_wait_for_a_broker_that_is_away(broker: Broker) -> None:
    broker.is_away.set()
    box = Outbox(broker, linger_seconds=0.001)
    box.start()
    box.add(RECEIPTS, {"n": 1})
    wait_until(lambda: broker.attempts)

    box.close(timeout_seconds=5)

    assert broker.messages == []


def test_right_after_a_message_the_next_items_gather_into_one(broker: Broker) -> None:
    box = Outbox(broker, linger_seconds=0.0, gather_seconds=60, batch=4)
    box.start()
    box.add(RECEIPTS, {"n": 0})
    wait_until(lambda: broker.numbers(RECEIPTS) == [0])
    for n in range(1, 4):
        box.add(RECEIPTS, {"n": n})
    assert box.waiting_count() == 3
    box.add(RECEIPTS, {"n": 4})

    wait_until(lambda: broker.numbers(RECEIPTS) == [0, 1, 2, 3, 4])
    assert len(broker.messages) == 2
    box.close()
