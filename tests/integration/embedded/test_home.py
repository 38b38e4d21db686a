"""The deployment's folder: secrets readable by their owner alone, ports on a real machine."""

import os
import socket
import stat
from pathlib import Path

from project.embedded.home import (
    lock_home,
    ports_text,
    read_home_env,
    remembered_ports,
    with_secrets,
    write_home_env,
    write_secret,
)
from project.embedded.ports import choose_ports, find_free_ports, is_port_free


def test_the_env_file_is_readable_by_its_owner_alone_also_after_a_rewrite(tmp_path: Path) -> None:
    write_home_env(tmp_path, {"SECRET_KEY": "first"})
    write_home_env(tmp_path, {"SECRET_KEY": "second"})

    path = tmp_path / "forekeep.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_home_env(tmp_path) == {"SECRET_KEY": "second"}
    assert [item.name for item in tmp_path.iterdir()] == ["forekeep.env"]


def test_a_secret_file_that_was_open_to_all_is_closed_by_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_text("old")
    path.chmod(0o644)

    write_secret(path, "fk_new")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "fk_new"


def test_secrets_are_made_once_and_kept() -> None:
    first = with_secrets({})
    second = with_secrets(first)

    assert first == second
    assert len(first["SECRET_KEY"]) >= 32
    assert len(first["ADMIN_PASSWORD"]) >= 20
    assert with_secrets({}) != first


def test_ports_survive_a_round_trip_and_rubbish_is_ignored() -> None:
    ports = {"web": 8000, "flower": 5556}

    assert remembered_ports({"EMBEDDED_PORTS": ports_text(ports)}) == ports
    assert remembered_ports({"EMBEDDED_PORTS": "web:x,,flower"}) == {}
    assert remembered_ports({}) == {}


def test_a_port_with_a_listener_is_taken_and_the_next_free_one_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]

        assert not is_port_free(taken)
        plan = choose_ports({"web": taken}, {})

    assert plan.ports["web"] != taken
    assert str(taken) in plan.notes[0]
    assert str(plan.ports["web"]) in plan.notes[0]


def test_free_ports_are_all_different() -> None:
    ports = find_free_ports(("web", "flower", "redis"))

    assert len(set(ports.values())) == 3


def test_a_home_that_was_open_to_all_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    os.close(lock_home(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
