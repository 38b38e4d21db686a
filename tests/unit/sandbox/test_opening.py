"""Choosing an engine: the order, the reasons, and that nothing opens that leaks."""

import json
from typing import Any

import pytest

from workers.keeper.sandbox import opening
from workers.keeper.sandbox.data import AbortHandle, FailureCode, SandboxRequest, SandboxResult, SandboxStatus
from workers.keeper.sandbox.errors import SandboxBroken, SandboxUnavailable
from workers.keeper.sandbox.opening import open_sandbox


class FakeSandbox:
    """An engine whose self test ends as told."""

    languages = ("python",)

    def __init__(
        self, name: str, leaks: list[str] | None = None, *, ends_spinners: bool = True, stdout: bytes = b""
    ) -> None:
        self.name = name
        self.stdout = stdout or json.dumps({"leaks": leaks or [], "faults": []}).encode()
        self.ends_spinners = ends_spinners
        self.is_closed = False

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        code = FailureCode.SCRIPT_TIMEOUT if b"while True" in request.script and self.ends_spinners else None
        return SandboxResult(
            status=SandboxStatus.FAILED if code else SandboxStatus.OK,
            code=code,
            exit_code=0,
            stdout=self.stdout,
            stderr_tail="",
            cpu_seconds=0.0,
            wall_seconds=0.0,
            peak_memory_bytes=0,
        )

    def close(self) -> None:
        self.is_closed = True


def machine_with(monkeypatch: pytest.MonkeyPatch, **engines: FakeSandbox | Exception) -> None:
    """A machine where opening these engines gives these sandboxes, or these errors."""

    def opener(found: FakeSandbox | Exception) -> Any:
        def open_engine(*, pool_size: int) -> FakeSandbox:
            if isinstance(found, Exception):
                raise found
            return found

        return open_engine

    monkeypatch.setattr(opening, "ENGINES", {name: opener(found) for name, found in engines.items()})


def test_auto_prefers_bubblewrap(monkeypatch: pytest.MonkeyPatch):
    first, second = FakeSandbox("bubblewrap"), FakeSandbox("landlock")
    machine_with(monkeypatch, landlock=second, bubblewrap=first)
    assert open_sandbox() is first


def test_auto_falls_back_to_landlock(monkeypatch: pytest.MonkeyPatch):
    missing = SandboxUnavailable(reasons={"bubblewrap": "bwrap is not installed"})
    second = FakeSandbox("landlock")
    machine_with(monkeypatch, bubblewrap=missing, landlock=second)
    assert open_sandbox("auto") is second


def test_an_engine_whose_jail_leaks_is_closed_and_passed_over(monkeypatch: pytest.MonkeyPatch):
    leaking, second = FakeSandbox("bubblewrap", ["fork"]), FakeSandbox("landlock")
    machine_with(monkeypatch, bubblewrap=leaking, landlock=second)
    assert open_sandbox() is second
    assert leaking.is_closed


@pytest.mark.parametrize(
    "broken",
    [
        FakeSandbox("bubblewrap", ["write_tmp"]),
        FakeSandbox("bubblewrap", ends_spinners=False),
        FakeSandbox("bubblewrap", stdout=b"escaped\n"),
        FakeSandbox("bubblewrap", stdout=b"[]"),
        SandboxBroken(reason="the launcher does not start"),
        SandboxUnavailable(reasons={"bubblewrap": "bwrap is not installed"}),
        PermissionError(1, "not permitted"),
    ],
)
def test_without_any_engine_that_holds_every_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, broken: FakeSandbox | Exception
):
    machine_with(
        monkeypatch,
        bubblewrap=broken,
        landlock=SandboxUnavailable(reasons={"landlock": "the kernel has none"}),
    )
    with pytest.raises(SandboxUnavailable) as refused:
        open_sandbox()
    assert set(refused.value.reasons) == {"bubblewrap", "landlock"}
    assert refused.value.code == "sandbox_unavailable"


def test_a_named_engine_has_no_substitute(monkeypatch: pytest.MonkeyPatch):
    machine_with(
        monkeypatch,
        bubblewrap=FakeSandbox("bubblewrap"),
        landlock=SandboxUnavailable(reasons={"landlock": "the kernel has none"}),
    )
    with pytest.raises(SandboxUnavailable) as refused:
        open_sandbox("landlock")
    assert refused.value.reasons == {"landlock": "the kernel has none"}


def test_a_container_engine_is_never_chosen_by_itself(monkeypatch: pytest.MonkeyPatch):
    docker = FakeSandbox("docker")
    none = SandboxUnavailable(reasons={"x": "none"})
    machine_with(monkeypatch, bubblewrap=none, landlock=none, docker=docker)
    with pytest.raises(SandboxUnavailable):
        open_sandbox()
    assert open_sandbox("docker") is docker
