"""The self test: an engine opens only where its jail was seen to hold on this very machine."""

import json
import tempfile
from pathlib import Path
from typing import Final

from workers.keeper.sandbox.data import MEBIBYTE, FailureCode, Sandbox, SandboxRequest
from workers.keeper.sandbox.errors import SandboxBroken

_SCRIPT: Final = Path(__file__).parent / "programs" / "selftest.py"
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
    try:
        found = json.loads(result.stdout)
        leaks, faults = list(found["leaks"]), list(found["faults"])
    except (ValueError, KeyError, TypeError) as exc:
        raise SandboxBroken(
            reason="the self test did not finish", ended=result.code, said=result.stderr_tail[-500:]
        ) from exc
    if leaks or faults:
        raise SandboxBroken(reason="the jail does not hold", leaks=leaks, faults=faults)

    endless = sandbox.run(SandboxRequest(script=_SPIN, deadline_seconds=0.05))
    if endless.code is not FailureCode.SCRIPT_TIMEOUT:
        raise SandboxBroken(reason="a script without end was not ended", ended=endless.code)
