"""What runs a script: the sandbox, or in a bench something that runs nothing.

The seam is for benches only: `EXECUTOR=module:callable` names a callable without arguments that returns an
executor, and `config.py` refuses it unless FOREKEEP_BENCH=1.
"""

import importlib
from typing import Protocol

from workers.keeper.config import ConfigInvalid, KeeperConfig
from workers.keeper.sandbox.data import AbortHandle, SandboxRequest, SandboxResult
from workers.keeper.sandbox.opening import open_sandbox


class Executor(Protocol):
    """Runs one script and says what came of it. Safe to share between threads."""

    @property
    def languages(self) -> tuple[str, ...]:
        """What it runs here."""
        ...

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """Run to the end, the deadline or the abort; a script's failure is a result, not an error."""
        ...

    def close(self) -> None:
        """End everything it started."""
        ...


def open_executor(config: KeeperConfig) -> Executor:
    """The executor the settings ask for; raise SandboxUnavailable where no engine can run, ConfigInvalid."""
    if config.executor == "sandbox":
        sandbox: Executor = open_sandbox(config.sandbox_engine, pool_size=config.pool_size)
        return sandbox
    module, _, name = config.executor.partition(":")
    try:
        found: Executor = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError) as exc:
        raise ConfigInvalid(
            variable="EXECUTOR", given=f"{config.executor!r} ({exc})", expected="module:callable"
        ) from None
    return found
