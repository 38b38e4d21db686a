"""The plan of a deployment: what it is started with, what is kept for the next start."""

import os
import random
import stat
from pathlib import Path

from project.embedded.deployment import own_servers, plan_deployment
from project.embedded.home import read_home_env
from project.embedded.ports import is_port_free

ENVIRON = {"PATH": "/usr/bin:/bin"}


def ports() -> dict[str, int]:
    """Free ports below the ephemeral range, so that no outgoing connection takes one meanwhile."""
    drawn = random.Random(os.urandom(8)).sample(range(20_000, 32_000), 200)
    return dict(zip(("web", "flower", "redis", "chain"), filter(is_port_free, drawn), strict=False))


def test_a_fresh_home_gets_secrets_addresses_and_private_servers(tmp_path: Path) -> None:
    chosen = ports()
    plan = plan_deployment(tmp_path, ENVIRON, chosen)

    assert plan.is_first_start
    assert plan.web_url == f"http://127.0.0.1:{chosen['web']}"
    assert plan.environment["REDIS_URL"] == f"redis://127.0.0.1:{chosen['redis']}/0"
    assert [server.spec.name for server in own_servers(plan)] == ["redis", "chain"]
    assert stat.S_IMODE((tmp_path / "forekeep.env").stat().st_mode) == 0o600


def test_secrets_reach_no_process_through_its_environment(tmp_path: Path) -> None:
    plan = plan_deployment(tmp_path, ENVIRON, ports())

    secret_names = ("SECRET_KEY", "ADMIN_PASSWORD", "FLOWER_BASIC_AUTH")
    assert all(name in read_home_env(tmp_path) for name in secret_names)
    assert not any(plan.values[name] in plan.environment.values() for name in secret_names)


def test_a_second_start_keeps_secrets_and_ports(tmp_path: Path) -> None:
    first = plan_deployment(tmp_path, ENVIRON, ports())
    second = plan_deployment(tmp_path, ENVIRON)

    assert not second.is_first_start
    assert second.values == first.values
    assert second.ports == first.ports


def test_servers_of_the_environment_are_used_instead_of_private_ones(tmp_path: Path) -> None:
    given = {
        **ENVIRON,
        "DATABASE_URL": "postgresql://u:p@db.example:5432/forekeep",
        "REDIS_URL": "redis://redis.example:6379/3",
        "CHAIN_RPC_URL": "http://node.example:8545",
    }
    plan = plan_deployment(tmp_path, given)

    assert own_servers(plan) == []
    assert "redis" not in plan.ports
    assert "chain" not in plan.ports
    assert plan.chain_url == "http://node.example:8545"
    known = read_home_env(tmp_path)
    assert {name: known[name] for name in ("DATABASE_URL", "REDIS_URL", "CHAIN_RPC_URL")} == {
        name: given[name] for name in ("DATABASE_URL", "REDIS_URL", "CHAIN_RPC_URL")
    }


def test_a_server_that_was_given_once_is_forgotten_when_it_is_not_given_again(tmp_path: Path) -> None:
    plan_deployment(tmp_path, {**ENVIRON, "DATABASE_URL": "postgresql://db.example/forekeep"}, ports())
    plan_deployment(tmp_path, ENVIRON, ports())

    assert "DATABASE_URL" not in read_home_env(tmp_path)
