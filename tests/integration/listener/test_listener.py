"""The listener over a real node: every block is told of, also after the node was away."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.chains.anvil import AnvilProcess
from apps.chains.networks import socket_url
from project.embedded.ports import find_free_ports
from tests.support.waiting import wait_until
from workers.listener.hearing import Ear, compute_pause


class Ears:
    """A listener in a thread, and how many blocks it was told of."""

    def __init__(self, url: str) -> None:
        self.blocks = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(
            target=Ear(url, on_block=self.hear).listen, args=(self.stopping,), daemon=True
        )
        self.thread.start()

    def hear(self) -> None:
        self.blocks += 1

    def hears_more_than(self, count: int) -> bool:
        return self.blocks > count


@pytest.fixture
def node(tmp_path: Path) -> Iterator[AnvilProcess]:
    port = find_free_ports(("chain",))["chain"]
    with AnvilProcess(tmp_path, port, block_time_seconds=60) as started:
        yield started


@pytest.fixture
def ears(node: AnvilProcess) -> Iterator[Ears]:
    made = Ears(socket_url(node.url))
    yield made
    made.stopping.set()
    made.thread.join(timeout=10)
    assert not made.thread.is_alive()


def test_each_block_is_told_of(node: AnvilProcess, ears: Ears):
    wait_until(lambda: ears.hears_more_than(0))
    for _ in range(3):
        before = ears.blocks
        node.request("evm_mine")
        wait_until(lambda before=before: ears.hears_more_than(before))


def test_a_node_that_was_killed_is_heard_again(node: AnvilProcess, ears: Ears):
    wait_until(lambda: ears.hears_more_than(0))
    node.kill()
    node.start()
    before = ears.blocks
    wait_until(lambda: ears.hears_more_than(before), timeout_seconds=30)
    before = ears.blocks
    node.request("evm_mine")
    wait_until(lambda: ears.hears_more_than(before))


def test_it_stops_while_no_node_answers():
    port = find_free_ports(("chain",))["chain"]
    ears = Ears(f"ws://127.0.0.1:{port}")
    ears.stopping.set()
    ears.thread.join(timeout=10)
    assert not ears.thread.is_alive()
    assert ears.blocks == 0


@pytest.mark.parametrize(
    ("rpc_url", "expected"),
    [
        ("http://127.0.0.1:8545", "ws://127.0.0.1:8545"),
        ("https://user:pw@node.example/v3/key?x=1", "wss://user:pw@node.example/v3/key?x=1"),
    ],
)
def test_the_socket_is_where_the_node_is(rpc_url: str, expected: str):
    assert socket_url(rpc_url) == expected


def test_pauses_grow_to_a_limit_and_are_never_the_same_for_all():
    assert [compute_pause(n, 0.0) for n in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert compute_pause(50, 0.999) < 15.0
    assert compute_pause(50, 0.0) == 7.5
