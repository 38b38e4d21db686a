"""An executor for benches: no sandbox, no script, the same small output each time."""

import time

from workers.keeper.sandbox.data import LANGUAGES, AbortHandle, SandboxRequest, SandboxResult, SandboxStatus


class NoOpExecutor:
    """Answers at once."""

    languages = LANGUAGES

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """A fixed result; nothing of the request is looked at."""
        del request, handle
        return SandboxResult(
            status=SandboxStatus.OK,
            code=None,
            exit_code=0,
            stdout=b'{"value":1}',
            stderr_tail="",
            cpu_seconds=0.001,
            wall_seconds=0.001,
            peak_memory_bytes=1_000_000,
        )

    def close(self) -> None:
        """Nothing to end."""


class WaitingExecutor(NoOpExecutor):
    """The same, 0.2 s later."""

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """A fixed result, a moment later."""
        time.sleep(0.2)
        return super().run(request, handle)


def open_waiting() -> WaitingExecutor:
    """What `EXECUTOR=bench.noop:open_waiting` names."""
    return WaitingExecutor()


def open_noop() -> NoOpExecutor:
    """What `EXECUTOR=bench.noop:open_noop` names."""
    return NoOpExecutor()
