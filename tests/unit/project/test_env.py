"""Settings are typed, bounded, and a bad one stops the start in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from project.env import REPOSITORY, Settings, read_proofs, read_settings, settings_or_exit
from project.variables import SettingInvalid, read_env_file

SECRET = "s" * 48


def read(home: Path, **variables: str) -> Settings:
    return read_settings({"FOREKEEP_HOME": str(home), "SECRET_KEY": SECRET, **variables})


def refused(home: Path, **variables: str) -> str:
    with pytest.raises(SettingInvalid) as caught:
        read(home, **variables)
    return str(caught.value)


def test_the_defaults_are_those_of_the_design(tmp_path):
    settings = read(tmp_path)
    assert settings.execution.acknowledge_seconds == 30
    assert settings.attestation.committee_size == 5
    assert settings.settlement.fee_multiplier_percent == 120
    assert settings.keepers.offline_after_seconds == 600
    assert settings.jobs.look_ahead_seconds == 40
    assert settings.stages.batch_rows == 500
    assert settings.chain.confirmations == 2
    assert settings.telemetry.log_level == "INFO"


def test_everything_of_a_deployment_lies_in_its_home(tmp_path):
    settings = read(tmp_path)
    assert settings.database.url == f"sqlite:///{tmp_path}/db.sqlite3"
    assert settings.chain.deployment_file == tmp_path / "deployment.json"
    assert settings.chain.submitter_key_files == (tmp_path / "keys" / "submitter-1.json",)
    assert settings.content.url == f"file://{tmp_path}/content"


def test_a_tunable_is_read_from_its_section_and_field(tmp_path):
    assert read(tmp_path, FOREKEEP_EXECUTION_ACKNOWLEDGE_SECONDS="7").execution.acknowledge_seconds == 7


def test_the_section_of_proofs_is_read_alone_as_it_is_among_all(tmp_path):
    (tmp_path / "forekeep.env").write_text("FOREKEEP_PROOFS_SIZES=128,16\nFOREKEEP_PROOFS_GENERATIONS=9\n")
    alone = read_proofs({"FOREKEEP_HOME": str(tmp_path), "FOREKEEP_PROOFS_GENERATIONS": "3"})
    assert alone == read(tmp_path, FOREKEEP_PROOFS_GENERATIONS="3").proofs
    assert (alone.circuit_sizes, alone.generations) == ((16, 128), 3)
    assert (alone.socket, alone.keys_folder) == (tmp_path / "run" / "prover.sock", tmp_path / "proofs")


@pytest.mark.parametrize("sizes", ["", "17", "16,x"])
def test_a_circuit_that_does_not_exist_is_refused(tmp_path, sizes):
    assert "FOREKEEP_PROOFS_SIZES" in refused(tmp_path, FOREKEEP_PROOFS_SIZES=sizes)
    with pytest.raises(SettingInvalid):
        read_proofs({"FOREKEEP_HOME": str(tmp_path), "FOREKEEP_PROOFS_SIZES": sizes})


def test_a_list_of_paths_is_comma_separated(tmp_path):
    settings = read(tmp_path, SUBMITTER_KEY_FILES="/a/one.json, /a/two.json")
    assert settings.chain.submitter_key_files == (Path("/a/one.json"), Path("/a/two.json"))


def test_an_empty_optional_is_none(tmp_path):
    assert read(tmp_path, AMQP_URL="").broker.amqp_url is None


def test_the_amqp_broker_wins_over_redis(tmp_path):
    settings = read(tmp_path, AMQP_URL="amqp://guest:guest@localhost//", REDIS_URL="redis://localhost:1/0")
    assert settings.broker.url.startswith("amqp://")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FOREKEEP_EXECUTION_ACKNOWLEDGE_SECONDS", "soon"),
        ("FOREKEEP_EXECUTION_ACKNOWLEDGE_SECONDS", "0"),
        ("FOREKEEP_EXECUTION_ACKNOWLEDGE_SECONDS", "1.5"),
        ("FOREKEEP_EXECUTION_DEFAULT_DEADLINE_SECONDS", "61"),
        ("FOREKEEP_SETTLEMENT_BATCH_MAX", "65"),
        ("CHAIN_CONFIRMATIONS", "-1"),
        ("CHAIN_RPC_URL", "localhost:8545"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://localhost:port/0"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DEBUG", "maybe"),
        ("LOG_LEVEL", "LOUD"),
        ("SECRET_KEY", "short"),
        ("CHAIN_DEPLOYMENT_FILE", ""),
        ("FOREKEEP_ATTESTATION_COMMITTEE_MIN", "6"),
    ],
)
def test_a_bad_value_is_refused_by_the_variables_name(tmp_path, variable, value):
    message = refused(tmp_path, **{variable: value})
    assert message.startswith(f"{variable}: ")
    assert "expected" in message
    assert "\n" not in message


def test_the_message_names_what_was_given_and_what_is_expected(tmp_path):
    message = refused(tmp_path, FOREKEEP_EXECUTION_DEFAULT_DEADLINE_SECONDS="61")
    assert message == (
        "FOREKEEP_EXECUTION_DEFAULT_DEADLINE_SECONDS: '61' was given; expected a whole number from 1 to 60"
    )


def test_a_bad_secret_is_refused_without_repeating_it(tmp_path):
    assert "hunter2" not in refused(tmp_path, SECRET_KEY="hunter2")
    assert "hunter2" not in refused(tmp_path, DATABASE_URL="mysql://me:hunter2@localhost/x")


def test_no_secret_is_in_the_representation_of_the_settings(tmp_path):
    settings = read(
        tmp_path,
        DATABASE_URL="postgres://me:hunter2@localhost/x",
        REDIS_URL="redis://:hunter2@localhost:6379/0",
        AMQP_URL="amqp://me:hunter2@localhost//",
        FLOWER_BASIC_AUTH="me:hunter2",
        CHAIN_RPC_URL="https://rpc.example/hunter2",
    )
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)


def test_a_missing_secret_key_is_named(tmp_path):
    with pytest.raises(SettingInvalid, match="SECRET_KEY: it is not set"):
        read_settings({"FOREKEEP_HOME": str(tmp_path)})


def test_the_homes_file_is_read_and_the_environment_wins(tmp_path):
    (tmp_path / "forekeep.env").write_text(
        f"# made by set-up\n\nSECRET_KEY='{SECRET}'\nLOG_LEVEL=ERROR\nCHAIN_CONFIRMATIONS=5\n"
    )
    settings = read_settings({"FOREKEEP_HOME": str(tmp_path), "LOG_LEVEL": "DEBUG"})
    assert settings.chain.confirmations == 5
    assert settings.telemetry.log_level == "DEBUG"
    assert settings.web.secret_key == SECRET


def test_a_line_of_the_homes_file_that_is_no_assignment_is_refused(tmp_path):
    path = tmp_path / "forekeep.env"
    path.write_text("SECRET_KEY\n")
    with pytest.raises(SettingInvalid, match="line 1 is not KEY=VALUE"):
        read_env_file(path)


def test_a_home_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(SettingInvalid, match="FOREKEEP_HOME"):
        read_settings({"FOREKEEP_HOME": str(path)})


def test_settings_or_exit_says_one_line_and_ends_with_code_two(monkeypatch, capsys):
    monkeypatch.setenv("CHAIN_CONFIRMATIONS", "two")
    with pytest.raises(SystemExit) as caught:
        settings_or_exit()
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "forekeep cannot start. CHAIN_CONFIRMATIONS: 'two' was given; "
        "expected a whole number from 0 to 1000\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "check"],
        ["-m", "celery", "-A", "project.celery", "report"],
        ["-m", "uvicorn", "project.asgi:application", "--port", "0"],
    ],
    ids=["manage", "celery", "asgi"],
)
def test_every_entry_shows_a_bad_setting_as_one_line_without_a_traceback(command):
    environ = {**os.environ, "CHAIN_CONFIRMATIONS": "two", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "forekeep cannot start. CHAIN_CONFIRMATIONS: 'two' was given; expected a whole number from 0 to 1000"
    ]
