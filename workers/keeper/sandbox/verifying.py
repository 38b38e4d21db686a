"""The self test: an engine opens only where its jail was seen to hold on this very machine."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from workers.keeper.sandbox.data import (
    MEBIBYTE,
    TYPESCRIPT,
    FailureCode,
    Sandbox,
    SandboxRequest,
    SandboxResult,
)
from workers.keeper.sandbox.deno import EVERY_PERMISSION
from workers.keeper.sandbox.errors import SandboxBroken
from workers.keeper.sandbox.jailed import JailedSandbox

_PROGRAMS: Final = Path(__file__).parent / "programs"
_SCRIPT: Final = _PROGRAMS / "selftest.py"
_DENO_SCRIPT: Final = _PROGRAMS / "selftest.ts"
_MEMORY_BYTES: Final = 128 * MEBIBYTE
_SPIN: Final = b"while True:\n    pass\n"


def verify(sandbox: Sandbox) -> None:
    """Run an honest script, a set of attacks, and a script without end.

    Raises SandboxBroken with the attacks that got through, or what went wrong instead.
    """
    with tempfile.TemporaryDirectory(prefix="forekeep-selftest-") as folder:
        outside = Path(folder) / "outside"
        outside.write_text("not for scripts")
        told = {"outside": str(outside), "memory_bytes": _MEMORY_BYTES}
        result = sandbox.run(
            SandboxRequest(
                script=_SCRIPT.read_bytes(),
                stdin=json.dumps(told).encode(),
                inputs={"given": b"read me"},
                memory_bytes=_MEMORY_BYTES,
                deadline_seconds=30.0,
            )
        )
    _require_held(result)
    endless = sandbox.run(SandboxRequest(script=_SPIN, deadline_seconds=0.05))
    if endless.code is not FailureCode.SCRIPT_TIMEOUT:
        raise SandboxBroken(reason="a script without end was not ended", ended=endless.code)


def verify_deno(sandbox: JailedSandbox) -> None:
    """The same for Deno, where this machine has it, with every permission it can give.

    Raises SandboxBroken; then the sandbox runs Python only.
    """
    deno = sandbox.deno
    if deno is None:
        return
    sandbox.use_deno(replace(deno, permissions=EVERY_PERMISSION))
    try:
        with tempfile.TemporaryDirectory(prefix="forekeep-selftest-") as folder:
            outside = Path(folder) / "outside"
            outside.write_text("not for scripts")
            result = sandbox.run(
                SandboxRequest(
                    script=_DENO_SCRIPT.read_bytes(),
                    language=TYPESCRIPT,
                    stdin=json.dumps({"outside": str(outside)}).encode(),
                    inputs={"given": b"read me"},
                    deadline_seconds=30.0,
                )
            )
        _require_held(result)
    except SandboxBroken:
        sandbox.use_deno(None)
        raise
    sandbox.use_deno(deno)


def _require_held(result: SandboxResult) -> None:
    try:
        found = json.loads(result.stdout)
        leaks, faults = list(found["leaks"]), list(found["faults"])
    except (ValueError, KeyError, TypeError) as exc:
        raise SandboxBroken(
            reason="the self test did not finish", ended=result.code, said=result.stderr_tail[-500:]
        ) from exc
    if leaks or faults:
        raise SandboxBroken(reason="the jail does not hold", leaks=leaks, faults=faults)
