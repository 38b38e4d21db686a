"""The local node: it mines at once, keeps its chain through everything, and rests when nothing happens."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from apps.chains.anvil import PID_FILE, STATE_FILE, AnvilFailed, AnvilProcess, compact_state, find_anvil
from apps.chains.client import ChainClient
from tests.support.chain import deploy_on, find_free_port
from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[3]
SOMEBODY = "0x" + "11" * 20


@pytest.fixture
def node(tmp_path):
    with AnvilProcess(tmp_path / "state", find_free_port(), 0.05, save_every_seconds=0.0) as running:
        yield running


def height(node):
    return int(node.request("eth_blockNumber"), 16)


def test_a_transaction_is_mined_at_once_and_blocks_follow(tmp_path):
    with AnvilProcess(tmp_path / "state", find_free_port(), 0.5) as node:
        with closing(deploy_on(node, tmp_path).client) as client:
            assert client.get_head().number >= 1
        at = height(node)
        wait_until(lambda: height(node) >= at + 2)


def test_it_has_no_account_of_its_own(node):
    assert node.request("eth_accounts") == []


def test_it_rests_when_nothing_happens_and_wakes_with_the_next_transaction(tmp_path):
    with AnvilProcess(tmp_path / "state", find_free_port(), 0.02, idle_after_blocks=5) as node:
        wait_until(lambda: height(node) == 5)
        assert not [1 for _ in range(20) if node.request("eth_chainId") and height(node) != 5]
        node.request("evm_mine")
        wait_until(lambda: height(node) >= 10)


def test_its_chain_survives_a_clean_restart(tmp_path):
    port = find_free_port()
    with AnvilProcess(tmp_path / "state", port, 0.05) as node:
        node.request("anvil_setBalance", SOMEBODY, "0x5")
        node.request("evm_mine")
        at = height(node)
    with AnvilProcess(tmp_path / "state", port, 0.05) as node:
        assert height(node) >= at
        assert node.request("eth_getBalance", SOMEBODY, "latest") == "0x5"


def test_its_chain_survives_kill_9(node):
    node.request("anvil_setBalance", SOMEBODY, "0x5")
    node.request("evm_mine")
    node.save()
    os.kill(node.pid, signal.SIGKILL)
    assert node.wait(5)
    node.kill()
    node.start()
    assert node.request("eth_getBalance", SOMEBODY, "latest") == "0x5"
    at = height(node)
    wait_until(lambda: height(node) > at)


def test_the_state_is_never_half_written(node):
    node.save()
    state = node.state_dir / STATE_FILE
    before = state.stat().st_ino
    node.request("evm_mine")
    node.save()
    assert state.stat().st_ino != before
    assert json.loads(state.read_bytes())["best_block_number"] >= 1


def test_a_long_chain_is_cut_down_when_it_is_loaded(node, monkeypatch):
    monkeypatch.setattr("apps.chains.anvil._COMPACT_ABOVE_BYTES", 1_000)
    monkeypatch.setattr("apps.chains.anvil._KEPT_BLOCKS", 20)
    node.request("anvil_setBalance", SOMEBODY, "0x5")
    node.request("anvil_mine", hex(300), "0x1")
    at = height(node)
    node.save()
    node.kill()
    state = node.state_dir / STATE_FILE
    size = state.stat().st_size
    node.start()
    assert state.stat().st_size < size / 3
    assert height(node) >= at
    assert node.request("eth_getBlockByNumber", hex(100), False) is None
    assert node.request("eth_getBlockByNumber", "0x0", False) is not None
    assert node.request("eth_getBalance", SOMEBODY, "latest") == "0x5"
    node.request("evm_mine")
    assert height(node) > at


def test_a_short_chain_is_left_as_it_is(node):
    node.save()
    assert not compact_state(node.state_dir / STATE_FILE)


def test_a_taken_port_is_said_so(node):
    with pytest.raises(AnvilFailed, match="port is taken"):
        AnvilProcess(node.state_dir / "other", node.port).start()


def test_stopping_twice_is_harmless_and_leaves_no_process(node):
    pid = node.pid
    node.stop()
    node.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_binary_is_the_pinned_one_of_this_repository():
    path = find_anvil()
    assert "node_modules" in path.parts
    assert path.is_file()


def run_module(state, port):
    command = [sys.executable, "-m", "apps.chains.anvil", "--state-dir", str(state), "--port", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    assert b"chain 31337" in process.stdout.readline()
    return process


def test_as_a_command_it_saves_and_ends_on_sigterm(tmp_path):
    port = find_free_port()
    process = run_module(tmp_path, port)
    with closing(ChainClient(f"http://127.0.0.1:{port}")) as client:
        client.set_balance(SOMEBODY, 5)
        client.request("evm_mine")
    process.terminate()
    assert process.wait(10) == 0
    process.communicate()
    state = json.loads((tmp_path / STATE_FILE).read_bytes())
    assert state["accounts"][SOMEBODY]["balance"] == "0x5"


def test_as_a_command_it_fails_when_the_node_dies(tmp_path):
    process = run_module(tmp_path, find_free_port())
    os.kill(int((tmp_path / PID_FILE).read_text()), signal.SIGKILL)
    assert process.wait(10) == 1
    output, _ = process.communicate()
    assert b"ended by itself" in output


def test_a_killed_parent_takes_its_node_along(tmp_path):
    process = run_module(tmp_path, find_free_port())
    node = int((tmp_path / PID_FILE).read_text())
    process.kill()
    process.communicate()
    wait_until(lambda: not is_alive(node))


def is_alive(pid):
    """Whether the process runs (an ended one nobody collected does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
