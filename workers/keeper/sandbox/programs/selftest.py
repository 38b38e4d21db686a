"""A script that tries to get out of its jail and says what it could do. It stands alone.

Run by `verify` when a sandbox is opened. Stdin: {"outside": path of a file it must not read,
"memory_bytes": its limit}. Stdout: {"leaks": [...], "faults": [...]}; both must be empty.
"""

import ctypes
import json
import os
import resource
import socket
import sys
import threading

told = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)


def read_outside() -> None:
    """Read the keeper's file."""
    with open(told["outside"], "rb") as file:
        file.read()


def write_here() -> None:
    """Write beside the inputs."""
    with open("inputs/new", "wb"):
        pass


def write_input() -> None:
    """Change an input."""
    with open("inputs/given", "r+b"):
        pass


def write_tmp() -> None:
    """Write to the world's folder."""
    with open("/tmp/forekeep-selftest", "wb"):
        pass


def fork() -> None:
    """Make a process."""
    if os.fork() == 0:
        os._exit(0)


def execute() -> None:
    """Become another program; ends this script where it works, which is noticed too."""
    os.execv(sys.executable, [sys.executable, "-c", "print('escaped')"])


def kill_parent() -> None:
    """Reach another process."""
    os.kill(os.getppid() or -1, 0)


def open_tcp() -> None:
    """Have a network socket."""
    socket.socket(socket.AF_INET).close()


def open_unix() -> None:
    """Have a local socket."""
    socket.socket(socket.AF_UNIX).close()


def change_mode() -> None:
    """Change what the same uid owns."""
    os.chmod(told["outside"], 0o777)


def read_environment() -> None:
    """Read what the process was started with."""
    with open("/proc/self/environ", "rb") as file:
        file.read()


def unshare() -> None:
    """Get a user namespace and its capabilities."""
    if libc.unshare(0x10000000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def trace() -> None:
    """Be traced."""
    if libc.ptrace(0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def take_memory() -> None:
    """Have more memory than allowed."""
    bytearray(told["memory_bytes"])


def raise_limit() -> None:
    """Have more threads, or time, than allowed."""
    resource.setrlimit(resource.RLIMIT_CPU, (1 << 20, 1 << 20))


ATTEMPTS = (
    read_outside,
    write_here,
    write_input,
    write_tmp,
    fork,
    kill_parent,
    open_tcp,
    open_unix,
    change_mode,
    read_environment,
    unshare,
    trace,
    take_memory,
    raise_limit,
    execute,
)


def is_possible(attempt) -> bool:  # type: ignore[no-untyped-def]
    """Whether nothing stopped it."""
    try:
        attempt()
    except (OSError, MemoryError, ValueError):
        return False
    return True


def find_faults() -> list[str]:
    """What an honest script needs and does not have."""
    faults = []
    with open("inputs/given", encoding="utf-8") as file:
        if file.read() != "read me":
            faults.append("inputs")
    done = threading.Event()
    threading.Thread(target=done.set).start()
    if not done.wait(10):
        faults.append("threads")
    return faults


faults = find_faults()
print(
    json.dumps(
        {"faults": faults, "leaks": [attempt.__name__ for attempt in ATTEMPTS if is_possible(attempt)]}
    )
)
