"""The program inside a jail: waits for one job on stdin, locks itself in for good, runs the script.

It stands alone (the keeper's packages are not visible in a jail) and is used once. Until the lock is
shut no byte of the script is looked at; afterwards nothing here is trusted any more. What a job is:
a 4-byte length, a JSON header, the script, and then the script's own stdin to the end of the stream. A
header with a `program` makes this process become that program behind that program's filter.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import json
import math
import os
import random
import resource
import struct
import sys
import threading
import types

TYPE_CHECKING = False
if TYPE_CHECKING:  # every import is paid for by every jail
    from typing import Any, NoReturn

READY, LOCKED, OUT_OF_MEMORY, NO_PROGRAM = b"R", b"L", b"M", b"N"
SCRIPT_NAME = "script.py"

_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_LANDLOCK_EXECUTE, _LANDLOCK_READ_FILE, _LANDLOCK_READ_DIR = 1 << 0, 1 << 2, 1 << 3
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_SIGKILL = 9
#: Where the path of the program to become lies: the lowest page a process may have. The filter allows an
#: exec of this address only, and nothing to be mapped there again once the program has taken over.
PROGRAM_PATH_ADDRESS = 0x10000
_PAGE_BYTES = 0x1000
_PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS_NOREPLACE = 3, 0x100022
_libc = ctypes.CDLL(None, use_errno=True)


def serve(config: dict[str, Any]) -> NoReturn:
    """Wait for a job, run it, end the process.

    `config`: `work` (the folder to stand in), `filter` (hex of the BPF program), `control` (descriptor to
    report on, or null), `parent` (pid that must still be there, or null), `landlock` (null, or `abi`, the
    `paths` that may be read, and those `executable` besides).
    """
    _call("prctl", _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
    if config["parent"] is not None and os.getppid() != config["parent"]:
        os._exit(0)
    control = config["control"]
    os.closerange(3, 3 if control is None else control)
    os.closerange(3 if control is None else control + 1, 4096)
    os.chdir(config["work"])
    _call("prctl", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _call("prctl", _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    if config["landlock"] is not None:
        restrict_files(**config["landlock"])
    program = bytes.fromhex(config["filter"])

    _report(control, READY)
    header, script = read_job()
    set_limits(header)
    if "program" in header:
        become(header["program"], control)
    install_filter(program)
    _report(control, LOCKED)

    run_script(script, control)


def read_job() -> tuple[dict[str, Any], bytes]:
    """The header and the script; ends the process where the keeper has gone away."""
    (length,) = struct.unpack("<I", _read_exactly(4))
    header = json.loads(_read_exactly(length))
    return header, _read_exactly(header["script_bytes"])


def set_limits(header: dict[str, Any]) -> None:
    """The limits of this process, soft and hard alike, so that none can be raised again."""
    cpu_seconds = header["cpu_seconds"]
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: header["tasks"],
        resource.RLIMIT_STACK: 8 << 20,
    }
    if header["memory_bytes"]:
        limits[resource.RLIMIT_AS] = header["memory_bytes"]
    if "data_bytes" in header:
        limits[resource.RLIMIT_DATA] = header["data_bytes"]
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    cpu_limit = math.ceil(used + cpu_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_limit, cpu_limit))
    if header["cpus"]:
        os.sched_setaffinity(0, header["cpus"])


def restrict_files(abi: int, paths: list[str], executable: list[str]) -> None:
    """Landlock: reading under these paths, executing those files; no TCP, abstract sockets, signals out."""
    handled = (1 << _LANDLOCK_RIGHTS.get(abi, 16)) - 1
    network = 0b11 if abi >= 4 else 0
    scoped = 0b11 if abi >= 6 else 0
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    attributes = ctypes.create_string_buffer(struct.pack("<QQQ", handled, network, scoped))
    ruleset = _call("landlock", _libc.syscall(_SYS_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0))
    for path in paths:
        _allow(ruleset, path, 0)
    for path in executable:
        _allow(ruleset, path, _LANDLOCK_EXECUTE)
    _call("landlock", _libc.syscall(_SYS_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def install_filter(program: bytes) -> None:
    """Seccomp, from here to the end of the process."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    packed = Program(len(program) // 8, program)
    _call("seccomp", _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(packed), 0, 0))


def become(program: dict[str, Any], control: int | None) -> NoReturn:
    """Shut that program's filter and become it: `path`, `argv`, `env`, `filter`; it keeps the streams."""
    _libc.mmap.restype = ctypes.c_void_p
    protection, flags = _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS_NOREPLACE
    page = _libc.mmap(ctypes.c_void_p(PROGRAM_PATH_ADDRESS), _PAGE_BYTES, protection, flags, -1, 0)
    if page != PROGRAM_PATH_ADDRESS:
        raise OSError(ctypes.get_errno(), "no page for the path")
    path = program["path"].encode() + b"\0"
    ctypes.memmove(page, path, len(path))
    _libc.personality(0)  # no address can be seen from inside: let them be random again
    argv = _pointers(program["argv"])
    env = _pointers([f"{name}={value}" for name, value in program["env"].items()])
    if control is not None:
        os.set_inheritable(control, False)

    install_filter(bytes.fromhex(program["filter"]))
    _report(control, LOCKED)
    _libc.execve(ctypes.c_void_p(page), argv, env)
    _report(control, NO_PROGRAM)
    os._exit(127)


def _pointers(texts: list[str]) -> ctypes.Array[ctypes.c_char_p]:
    """A C array of strings with a null at its end."""
    return (ctypes.c_char_p * (len(texts) + 1))(*[text.encode() for text in texts], None)


def run_script(source: bytes, control: int | None) -> NoReturn:
    """Run the script as `__main__` and end the process with its exit code."""
    os.environ.clear()
    random.seed(0)
    sys.argv = [SCRIPT_NAME]
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=SCRIPT_NAME, __builtins__=builtins)
    sys.modules["__main__"] = module
    vars(builtins).update(exit=sys.exit, quit=sys.exit)

    code = 0
    try:
        exec(compile(source, SCRIPT_NAME, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as exc:
        code = _exit_code(exc.code)
    except MemoryError as exc:
        _report(control, OUT_OF_MEMORY)
        code = _uncaught(exc, source)
    except BaseException as exc:
        code = _uncaught(exc, source)
    _leave(code, source)


def _leave(code: int, source: bytes) -> NoReturn:
    """What the interpreter does at its end, without taking itself apart first."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException as exc:
        code = code or _uncaught(exc, source)
    os._exit(code)


def _uncaught(exc: BaseException, source: bytes) -> int:
    """Print the traceback from the script's first line on; the exit code of an uncaught exception."""
    try:
        linecache, traceback = __import__("linecache"), __import__("traceback")  # only failing scripts pay
        text = source.decode("utf-8", "replace")
        linecache.cache[SCRIPT_NAME] = (len(text), None, text.splitlines(True), SCRIPT_NAME)
        trace = exc.__traceback__.tb_next if exc.__traceback__ else None
        traceback.print_exception(type(exc), exc, trace)
    except BaseException:
        os.write(2, type(exc).__name__.encode()[:100] + b"\n")
    return 1


def _exit_code(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF
    print(value, file=sys.stderr)
    return 1


def _allow(ruleset: int, path: str, more: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    rights = more | _LANDLOCK_READ_FILE | (_LANDLOCK_READ_DIR if os.path.isdir(path) else 0)
    rule = ctypes.create_string_buffer(struct.pack("<Qi", rights, descriptor))
    _call("landlock", _libc.syscall(_SYS_LANDLOCK_ADD, ruleset, 1, rule, 0))
    os.close(descriptor)


def _read_exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(0, size)
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _report(control: int | None, message: bytes) -> None:
    if control is not None:
        os.write(control, message)


def _call(what: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
