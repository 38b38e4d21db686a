"""What a node is told: settings, keystore, executor, log, and how a fleet fills them in."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from apps.kernel.trace import Trace, set_current_trace
from tests.factories.nodes import FakeExecutor, keystore_json, make_identity
from workers.keeper.config import ConfigInvalid, read_config
from workers.keeper.executor import open_executor
from workers.keeper.fleet import read_members
from workers.keeper.keystore import KeystoreInvalid, load_keystore
from workers.keeper.logs import JsonLines

HUB = "0x" + "ab" * 20
GIVEN = {
    "KEEPER_KEYSTORE": "/k/keystore.json",
    "BROKER_URL": "redis://:hunter2@127.0.0.1:6379/0",
    "CONTROL_URL": "http://127.0.0.1:8000/",
    "CHAIN_RPC_URL": "http://user:hunter2@127.0.0.1:8545",
    "CHAIN_ID": "31337",
    "HUB_ADDRESS": HUB.upper().replace("0X", "0x"),
    "DISPATCHER_ADDRESS": "0x" + "cd" * 20,
    "CONTENT_URL": "file:///content",
    "CACHE_DIR": "/cache",
}


def test_settings_have_their_defaults() -> None:
    config = read_config(GIVEN)

    assert (config.concurrency, config.pool_size, config.check_in_seconds) == (2, 1, 60)
    assert (config.sandbox_engine, config.executor, config.log_level) == ("auto", "sandbox", "INFO")
    assert config.control_url == "http://127.0.0.1:8000"
    assert (config.domain.chain_id, config.domain.contract) == (31337, HUB)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *((name, None) for name in GIVEN),
        ("BROKER_URL", "sqs://x"),
        ("BROKER_URL", "redis:"),
        ("CONTROL_URL", "127.0.0.1:8000"),
        ("CHAIN_RPC_URL", "ws://127.0.0.1"),
        ("CHAIN_RPC_URL", "http://127.0.0.1:port"),
        ("CHAIN_RPC_URL", "http://:8545"),
        ("CHAIN_ID", "mainnet"),
        ("CHAIN_ID", "0"),
        ("HUB_ADDRESS", "0x12"),
        ("DISPATCHER_ADDRESS", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"),
        ("CONTENT_URL", "ftp://x"),
        ("SANDBOX_ENGINE", "none"),
        ("EXECUTOR", "bench.noop:open"),
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "2.5"),
        ("POOL_SIZE", "-1"),
        ("CHECK_IN_SECONDS", "0"),
        ("KEEPER_CONTACT", "mail me"),
        ("KEEPER_CONTACT", '["x"]'),
        ("LOG_LEVEL", "LOUD"),
        ("FOREKEEP_ATTESTATION_GAS_TOLERANCE_PERCENT", "101"),
    ],
)
def test_a_bad_or_missing_setting_is_named_and_no_secret_repeated(variable: str, value: str | None) -> None:
    environ = {name: text for name, text in GIVEN.items() if name != variable}
    if value is not None:
        environ[variable] = value

    with pytest.raises(ConfigInvalid) as caught:
        read_config(environ)

    assert str(caught.value).startswith(f"{variable}: ")
    assert "hunter2" not in str(caught.value)


def test_settings_do_not_show_their_secrets() -> None:
    assert "hunter2" not in repr(read_config(GIVEN))


def test_another_executor_runs_only_in_a_bench() -> None:
    environ = {**GIVEN, "EXECUTOR": "tests.factories.nodes:FakeExecutor", "FOREKEEP_BENCH": "1"}

    assert isinstance(open_executor(read_config(environ)), FakeExecutor)


@pytest.mark.parametrize("path", ["tests.factories.nodes:Nothing", "no.such.module:x", "nonsense"])
def test_an_executor_that_is_not_there_is_named(path: str) -> None:
    config = read_config({**GIVEN, "EXECUTOR": path, "FOREKEEP_BENCH": "1"})

    with pytest.raises(ConfigInvalid) as caught:
        open_executor(config)
    assert caught.value.variable == "EXECUTOR"


def _write(path: Path, body: Any, mode: int = 0o600) -> Path:
    path.write_text(body if isinstance(body, str) else json.dumps(body), encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_keystore_gives_the_keepers_keys(tmp_path: Path) -> None:
    identity = make_identity()

    found = load_keystore(_write(tmp_path / "keystore.json", keystore_json(identity)))

    assert found.address == identity.address
    assert found.bls_public_key == identity.bls_public_key
    assert keystore_json(identity)["private_key"] not in repr(found)


@pytest.mark.parametrize(
    ("change", "mode"),
    [
        ({}, 0o640),
        ({}, 0o604),
        ({"address": "0x" + "00" * 20}, 0o600),
        ({"private_key": "0x00"}, 0o600),
        ({"private_key": "0x" + "00" * 32}, 0o600),
        ({"bls_secret": None}, 0o600),
        ({"bls_secret": "0x" + "00" * 32}, 0o600),
    ],
)
def test_a_bad_keystore_is_refused_without_repeating_it(
    tmp_path: Path, change: dict[str, Any], mode: int
) -> None:
    body = {**keystore_json(make_identity()), **change}

    with pytest.raises(KeystoreInvalid) as caught:
        load_keystore(_write(tmp_path / "keystore.json", body, mode))

    assert str(body["private_key"]) not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "not json", "{}"])
def test_a_file_that_is_no_keystore_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeystoreInvalid):
        load_keystore(_write(tmp_path / "keystore.json", text))
    with pytest.raises(KeystoreInvalid):
        load_keystore(tmp_path / "absent.json")


def _home(tmp_path: Path, *names: str) -> Path:
    home = tmp_path / "home"
    for name in names:
        folder = home / "keepers" / name
        folder.mkdir(parents=True)
        _write(folder / "keystore.json", keystore_json(make_identity()))
    (home / "keys").mkdir(parents=True, exist_ok=True)
    _write(home / "keys" / "dispatcher.json", {"address": GIVEN["DISPATCHER_ADDRESS"]})
    _write(home / "deployment.json", {"chain_id": 31337, "hub": HUB})
    _write(
        home / "forekeep.env",
        "# comment\nREDIS_URL=redis://127.0.0.1:1/0\nWEB_URL='http://127.0.0.1:2'\n"
        "CHAIN_RPC_URL=http://127.0.0.1:3\n",
    )
    return home


def test_a_fleet_has_one_member_per_keystore_with_the_homes_settings(tmp_path: Path) -> None:
    home = _home(tmp_path, "10", "2", "1")

    members = read_members({"FOREKEEP_HOME": str(home), "CONCURRENCY": "3"})

    assert [member.folder.name for member in members] == ["1", "2", "10"]
    config = read_config(members[1].environ)
    assert config.keystore == home / "keepers" / "2" / "keystore.json"
    assert config.cache_dir == home / "keepers" / "2" / "cache"
    assert config.broker_url == "redis://127.0.0.1:1/0"
    assert config.control_url == "http://127.0.0.1:2"
    assert config.content_url == f"file://{home}/content"
    assert (config.hub_address, config.chain_id) == (HUB, 31337)
    assert config.dispatcher_address == GIVEN["DISPATCHER_ADDRESS"]
    assert (config.name, config.concurrency) == ("keeper-2", 3)


def test_the_environment_wins_over_the_homes_file(tmp_path: Path) -> None:
    home = _home(tmp_path, "1")

    (member,) = read_members(
        {"FOREKEEP_HOME": str(home), "AMQP_URL": "amqp://127.0.0.1:9", "WEB_URL": "http://127.0.0.1:8"}
    )

    config = read_config(member.environ)
    assert (config.broker_url, config.control_url) == ("amqp://127.0.0.1:9", "http://127.0.0.1:8")


@pytest.mark.parametrize(
    ("missing", "variable"),
    [
        ("keepers/1/keystore.json", "FOREKEEP_HOME"),
        ("deployment.json", "CHAIN_ID"),
        ("keys/dispatcher.json", "DISPATCHER_ADDRESS"),
        ("forekeep.env", "BROKER_URL"),
    ],
)
def test_a_fleet_whose_home_is_not_set_up_says_what_is_missing(
    tmp_path: Path, missing: str, variable: str
) -> None:
    home = _home(tmp_path, "1")
    (home / missing).unlink()

    with pytest.raises(ConfigInvalid) as caught:
        read_members({"FOREKEEP_HOME": str(home)})
    assert caught.value.variable == variable


def test_a_log_line_is_json_with_the_trace_and_without_credentials() -> None:
    set_current_trace(Trace(trace_id="ab" * 16, span_id="cd" * 8))
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "at %s", ("redis://u:hunter2@h/0",), None)
    record.facts = {"code": "epoch_stale", "thing": Path("/x")}

    line = json.loads(JsonLines("0xkeeper").format(record))

    assert line["trace_id"] == "ab" * 16
    assert (line["level"], line["code"], line["keeper"]) == ("warning", "epoch_stale", "0xkeeper")
    assert "hunter2" not in line["event"]
    set_current_trace(None)
