"""The process that starts jails for a keeper: small, single-threaded, of the jails' own uid.

A keeper has many threads, much memory and perhaps a process pool that reaps children; none of that
is a good parent for jails. This process forks them from a few megabytes, waits for each, and tells
what it used. It stands alone and keeps no state. When the keeper's socket closes it kills every jail
and ends; should it be killed itself, the kernel kills them (PR_SET_PDEATHSIG). It adopts what a jail
leaves behind: a bubblewrap killed in its first milliseconds forgets the child it has just made.

One request is one packet: JSON and descriptors (report, stdin, stdout, stderr, control and, for a
program that wants it, info). `argv` and `env` start a program that finds the last five as 0 to 4;
`config` instead forks this very process into the runner. On `report` it answers twice: the pid with a
pidfd, and at the end the wait status with user and system seconds and the largest resident size.
"""

import array
import ctypes
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import types
from typing import Any, NoReturn

STARTED = struct.Struct("<i")
ENDED = struct.Struct("<iddq")
PACKET_BYTES = 1 << 17

#: Imported once before forking, so that scripts find them warm at no cost.
WARM = "collections csv dataclasses datetime decimal functools hashlib itertools re statistics traceback"

_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_ADDR_NO_RANDOMIZE = 0x0040000
_ASK_PERSONALITY = 0xFFFFFFFF
_FIRST_FREE_DESCRIPTOR = 32
_DESCRIPTORS_MAX = 8


def serve(keeper: socket.socket, runner: Any) -> None:
    """Start jails until the keeper goes away. `runner` is the runner module, or None."""
    poll = select.poll()
    poll.register(keeper, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}
    keeper.send(b"ready")
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                poll.unregister(descriptor)
                pid, report = running.pop(descriptor)
                _, status, usage = os.wait4(pid, 0)
                if os.WIFSIGNALED(status) and runner is None:
                    _kill_children_but({other for other, _ in running.values()})
                os.close(descriptor)
                _tell(report, ENDED.pack(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss), None)
                report.close()
                continue
            request = receive(keeper)
            if request is None:
                for pid, _ in running.values():
                    _kill_child(pid)
                _kill_children_but(set())
                return
            pidfd, pid, report = start(*request, runner)
            running[pidfd] = (pid, report)
            poll.register(pidfd, select.POLLIN)


def receive(keeper: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next request and its descriptors; None when the keeper is gone."""
    integers = array.array("i")
    packet, ancillary, _, _ = keeper.recvmsg(
        PACKET_BYTES, socket.CMSG_SPACE(_DESCRIPTORS_MAX * integers.itemsize)
    )
    if not packet:
        return None
    for _, _, data in ancillary:
        integers.frombytes(data[: len(data) - len(data) % integers.itemsize])
    return json.loads(packet), list(integers)


def start(request: dict[str, Any], descriptors: list[int], runner: Any) -> tuple[int, int, socket.socket]:
    """Fork one jail and report its pid; returns its pidfd, its pid and where to report its end."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(request, descriptors[1:], parent, runner)
    report = socket.socket(fileno=descriptors[0])
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    pidfd = os.pidfd_open(pid)
    _tell(report, STARTED.pack(pid), pidfd)
    return pidfd, pid, report


def _become(request: dict[str, Any], descriptors: list[int], parent: int, runner: Any) -> NoReturn:
    """In the child: the descriptors in their places, nothing else open, then the program."""
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, _FIRST_FREE_DESCRIPTOR + number)
        for number in range(len(descriptors)):
            os.dup2(_FIRST_FREE_DESCRIPTOR + number, number, inheritable=True)
        os.closerange(len(descriptors), 65_536)
        if runner is None:
            os.execve(request["argv"][0], request["argv"], request["env"])
        runner.serve({**request["config"], "parent": parent})
    except BaseException as exc:
        os.write(2, f"{type(exc).__name__}: {exc}\n".encode())
    finally:
        os._exit(127)


def _kill_children_but(kept: set[int]) -> None:
    """Kill our children, and those we inherit from them, until only these are left."""
    while others := _find_children() - kept:
        for pid in others:
            _kill_child(pid)


def _find_children() -> set[int]:
    """The processes whose parent we are, or have become."""
    own = str(os.getpid())
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    parent = file.read().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if parent == own:
                found.add(int(name))
    return found


def _kill_child(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _tell(report: socket.socket, message: bytes, descriptor: int | None) -> None:
    """Send, unless the keeper has stopped listening."""
    ancillary = []
    if descriptor is not None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    try:
        report.sendmsg([message], ancillary)
    except OSError:
        return


def _pin_addresses(libc: ctypes.CDLL) -> None:
    """Start over without address randomisation, where the machine lets us: equal runs, equal addresses."""
    current = libc.personality(_ASK_PERSONALITY)
    if current < 0 or current & _ADDR_NO_RANDOMIZE:
        return
    if libc.personality(current | _ADDR_NO_RANDOMIZE) >= 0:
        os.execv(sys.executable, sys.orig_argv)


def main(arguments: list[str]) -> None:
    """`launcher.py DESCRIPTOR RUNNER`: the keeper's socket, and the runner's path or nothing."""
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    _pin_addresses(libc)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # other processes of this uid have no business in here
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    runner = None
    if arguments[1]:
        runner = types.ModuleType("runner")
        with open(arguments[1], "rb") as file:
            exec(compile(file.read(), "runner.py", "exec"), runner.__dict__)
        for name in WARM.split():
            __import__(name)
    gc.freeze()
    serve(socket.socket(fileno=int(arguments[0])), runner)


if __name__ == "__main__":
    main(sys.argv[1:])
