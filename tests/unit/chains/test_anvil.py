"""Finding the node's binary, and cutting a state file down."""

import json

import pytest

from apps.chains.anvil import AnvilMissing, compact_state, find_anvil


def test_the_package_of_this_platform_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    binary = tmp_path / "node_modules" / "@foundry-rs" / "anvil-linux-arm64" / "bin" / "anvil"
    binary.parent.mkdir(parents=True)
    binary.touch(mode=0o755)
    assert find_anvil(tmp_path) == binary


def test_else_the_one_on_the_path_is_taken(tmp_path, monkeypatch):
    binary = tmp_path / "anvil"
    binary.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_anvil(tmp_path / "elsewhere") == binary


def test_none_at_all_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AnvilMissing):
        find_anvil(tmp_path)


def test_cutting_keeps_genesis_the_last_blocks_and_every_account(tmp_path, monkeypatch):
    monkeypatch.setattr("apps.chains.anvil._COMPACT_ABOVE_BYTES", 10)
    monkeypatch.setattr("apps.chains.anvil._KEPT_BLOCKS", 3)
    state = tmp_path / "state.json"
    content = {
        "best_block_number": 9,
        "accounts": {"0x01": {"balance": "0x5"}},
        "blocks": [{"header": {"number": hex(number)}} for number in (9, 0, 5, 6, 7, 8, 1)],
        "transactions": [{"block_number": number} for number in (5, 6, 9)],
    }
    state.write_text(json.dumps(content))
    assert compact_state(state)
    cut = json.loads(state.read_text())
    assert [int(block["header"]["number"], 16) for block in cut["blocks"]] == [9, 0, 6, 7, 8]
    assert [item["block_number"] for item in cut["transactions"]] == [6, 9]
    assert cut["accounts"] == content["accounts"]
    assert not compact_state(state)
