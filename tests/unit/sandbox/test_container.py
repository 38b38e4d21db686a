"""What a container engine is told, and what is made of its answers, with an engine that only pretends."""

import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, DockerException, ImageNotFound

from workers.keeper.sandbox.container import DockerSandbox, is_engine_there, open_docker
from workers.keeper.sandbox.data import MEBIBYTE, AbortHandle, FailureCode, SandboxRequest, SandboxResult
from workers.keeper.sandbox.errors import SandboxBroken, SandboxUnavailable


class FakeContainer:
    """One container: what it will print, how it ends, and what was done to it."""

    def __init__(
        self, *, output: list[Any], status: int = 0, is_oom: bool = False, is_endless: bool = False
    ) -> None:
        self.output = output
        self.status = status
        self.attrs = {"State": {"OOMKilled": is_oom}}
        self.is_endless = is_endless
        self.calls: list[str] = []
        self.killed = threading.Event()

    def attach(self, **options: Any) -> Iterator[tuple[bytes | None, bytes | None]]:
        assert options == {"stdout": True, "stderr": True, "stream": True, "logs": False, "demux": True}
        self.calls.append("attach")
        return self._stream()

    def _stream(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        yield from self.output
        if self.is_endless:
            assert self.killed.wait(10)
            self.status = 137

    def start(self) -> None:
        self.calls.append("start")

    def kill(self) -> None:
        self.calls.append("kill")
        self.killed.set()

    def wait(self, timeout: float) -> dict[str, int]:
        assert timeout > 0
        return {"StatusCode": self.status}

    def reload(self) -> None:
        self.calls.append("reload")

    def stats(self, **_options: Any) -> list[dict[str, Any]]:
        return [
            {
                "cpu_stats": {"cpu_usage": {"total_usage": 250_000_000}},
                "memory_stats": {"usage": 3 * MEBIBYTE},
            },
            {"cpu_stats": {}, "memory_stats": {}},
        ]

    def remove(self, **options: Any) -> None:
        assert options == {"force": True, "v": True}
        self.calls.append("remove")


class FakeEngine:
    """A docker client over one made-up container."""

    def __init__(self, made: FakeContainer | Exception) -> None:
        self.made = made
        self.options: dict[str, Any] = {}
        self.payload = b""
        self.inputs: dict[str, bytes] = {}
        self.containers = self.images = self
        self.is_closed = False

    def create(self, **options: Any) -> FakeContainer:
        self.options = options
        sources = {mount["Target"]: Path(mount["Source"]) for mount in options["mounts"]}
        self.payload = sources["/job/payload"].read_bytes()
        self.inputs = {path.name: path.read_bytes() for path in (sources["/work"] / "inputs").iterdir()}
        if isinstance(self.made, Exception):
            raise self.made
        return self.made

    def close(self) -> None:
        self.is_closed = True


def run(engine: FakeEngine, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
    sandbox = DockerSandbox(client=engine, image="python:3.11-slim", filter_hex="00")
    try:
        return sandbox.run(request, handle)
    finally:
        sandbox.close()
        assert engine.is_closed


def test_a_container_is_given_nothing_it_could_abuse():
    engine = FakeEngine(FakeContainer(output=[]))
    run(engine, SandboxRequest(script=b"pass", memory_bytes=256 * MEBIBYTE, cpu_cores=2))
    told = engine.options
    assert told["network_mode"] == told["ipc_mode"] == "none"
    assert told["read_only"] is True
    assert told["privileged"] is False
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["user"] == "65534:65534"
    assert told["pids_limit"] == 64
    assert told["mem_limit"] == told["memswap_limit"] == 256 * MEBIBYTE
    assert told["nano_cpus"] == 2_000_000_000
    assert told["log_config"]["Type"] == "none"
    assert {limit["Name"]: limit["Hard"] for limit in told["ulimits"]} == {"core": 0, "fsize": 0}
    assert told["environment"]["PYTHONHASHSEED"] == "0"
    assert not {"volumes", "devices", "cap_add", "pid_mode", "ports", "tmpfs"} & set(told)


def test_every_mount_of_a_container_is_read_only():
    engine = FakeEngine(FakeContainer(output=[]))
    run(engine, SandboxRequest(script=b"pass"))
    mounts = {mount["Target"]: (mount["Type"], mount["ReadOnly"]) for mount in engine.options["mounts"]}
    assert mounts == dict.fromkeys(["/job/runner.py", "/job/payload", "/work"], ("bind", True))


def test_the_runner_is_told_its_job_as_in_any_other_jail():
    engine = FakeEngine(FakeContainer(output=[]))
    run(engine, SandboxRequest(script=b"print(1)", stdin=b"[7]", inputs={"a": b"x"}, deadline_seconds=5))
    (length,) = struct.unpack_from("<I", engine.payload)
    header = json.loads(engine.payload[4 : 4 + length])
    assert engine.payload[4 + length :] == b"print(1)[7]"
    assert (header["script_bytes"], header["cpu_seconds"], header["memory_bytes"]) == (8, 5, 0)
    assert engine.inputs == {"a": b"x"}
    config = json.loads(engine.options["command"][0])
    assert config == {"work": "/work", "filter": "00", "control": None, "parent": None, "landlock": None}
    assert engine.options["entrypoint"][:2] == ["sh", "-c"]


def test_what_a_container_printed_and_took_is_told():
    made = FakeContainer(output=[(b"one ", None), (None, b"oh"), (b"two", b"!")])
    result = run(FakeEngine(made), SandboxRequest(script=b""))
    assert (result.status, result.stdout, result.stderr_tail) == ("ok", b"one two", "oh!")
    assert (result.cpu_seconds, result.peak_memory_bytes) == (0.25, 3 * MEBIBYTE)
    assert made.calls == ["attach", "start", "reload", "remove"]


@pytest.mark.parametrize(
    ("status", "is_oom", "code"),
    [
        (1, False, FailureCode.SCRIPT_FAILED),
        (137, True, FailureCode.SCRIPT_MEMORY),
        (139, False, FailureCode.SCRIPT_KILLED),
    ],
)
def test_a_containers_end_is_judged_like_any_other(status: int, is_oom: bool, code: FailureCode):
    made = FakeContainer(output=[], status=status, is_oom=is_oom)
    result = run(FakeEngine(made), SandboxRequest(script=b""))
    assert (result.code, result.exit_code) == (code, status)


def test_a_container_without_end_is_killed_at_its_deadline():
    made = FakeContainer(output=[], is_endless=True)
    result = run(FakeEngine(made), SandboxRequest(script=b"", deadline_seconds=0.05))
    assert result.code == FailureCode.SCRIPT_TIMEOUT
    assert made.calls == ["attach", "start", "kill", "reload", "remove"]


@pytest.mark.parametrize("stream", [0, 1])
def test_a_container_that_prints_too_much_is_killed(stream: int):
    flood: list[Any] = [(None, None)] * 3
    chunk = b"x" * (40 * MEBIBYTE)
    flood = [(chunk, None) if stream == 0 else (None, chunk)] * 3
    made = FakeContainer(output=flood, status=137)
    result = run(FakeEngine(made), SandboxRequest(script=b""))
    assert result.code == FailureCode.SCRIPT_OUTPUT_TOO_LARGE
    assert len(result.stdout) <= MEBIBYTE
    assert len(result.stderr_tail) <= 4096
    assert "kill" in made.calls


def test_aborting_kills_the_container():
    made, handle = FakeContainer(output=[], is_endless=True), AbortHandle()
    handle.abort()
    assert run(FakeEngine(made), SandboxRequest(script=b""), handle).code == FailureCode.ABORTED


def test_an_engine_that_makes_no_container_is_broken():
    with pytest.raises(SandboxBroken):
        run(FakeEngine(APIError("no space left")), SandboxRequest(script=b""))


def test_an_engine_that_fails_on_the_way_is_broken_and_the_container_removed(monkeypatch: pytest.MonkeyPatch):
    made = FakeContainer(output=[])

    def fail() -> None:
        raise DockerException("connection lost")

    monkeypatch.setattr(made, "start", fail)
    with pytest.raises(SandboxBroken):
        run(FakeEngine(made), SandboxRequest(script=b""))
    assert made.calls[-1] == "remove"


def test_without_a_socket_the_engine_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    assert not is_engine_there()
    with pytest.raises(SandboxUnavailable) as refused:
        open_docker()
    assert "no.sock" in refused.value.reasons["docker"]


def test_an_engine_without_the_image_says_so(monkeypatch: pytest.MonkeyPatch):
    engine = FakeEngine(FakeContainer(output=[]))
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setattr(engine, "ping", lambda: True, raising=False)

    def get(image: str) -> None:
        raise ImageNotFound(image)

    monkeypatch.setattr(engine, "get", get, raising=False)
    monkeypatch.setattr(docker, "from_env", lambda: engine)
    with pytest.raises(SandboxUnavailable) as refused:
        open_docker(image="python:0.9")
    assert "python:0.9" in refused.value.reasons["docker"]
