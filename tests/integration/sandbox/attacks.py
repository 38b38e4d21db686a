"""What every attacking script starts with: a list of what it could do, printed as JSON at its end."""

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from workers.keeper.sandbox.data import AbortHandle, Sandbox, SandboxRequest, SandboxResult

PREAMBLE = '''
import atexit, ctypes, json, os, socket, sys, threading, time
told = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)
done = []
atexit.register(lambda: print(json.dumps(done)))

def attempt(name, act, *args):
    """Note what nothing stopped."""
    try:
        result = act(*args)
    except (OSError, MemoryError, ValueError, RuntimeError):
        return
    done.append([name, repr(result)[:200]])

def must(result):
    """A C function's result; its errno as an exception."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

def call(number, *args):
    """A raw system call."""
    return must(libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in args]))
'''


def attack(
    sandbox: Sandbox,
    script: str,
    told: Any = None,
    *,
    inputs: Mapping[str, bytes] | None = None,
    handle: AbortHandle | None = None,
    **limits: Any,
) -> SandboxResult:
    """Run an attacking script to its end."""
    request = SandboxRequest(
        script=(PREAMBLE + textwrap.dedent(script)).encode(),
        stdin=json.dumps(told).encode(),
        inputs=inputs or {},
        **{"deadline_seconds": 30.0, **limits},
    )
    return sandbox.run(request, handle)


def gains_of(result: SandboxResult) -> list[Any]:
    """What the script could do; fails the test where it did not come to its end."""
    assert result.status == "ok", result
    return list(json.loads(result.stdout))
