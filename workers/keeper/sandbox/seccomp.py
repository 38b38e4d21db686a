"""What a script may ask of the kernel, and the BPF program that says so.

An allow list: memory, threads, clocks, reading files. No new process, no program, no socket, no
writing open, no signal to anyone, no namespace, mount, trace, key, bpf or ring. Everything not
listed fails with EPERM; the three calls libc can do without fail with ENOSYS so that it falls back.
The program is ours because it must exist where libseccomp does not; the tests hold it against
libseccomp's.
"""

import errno
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from workers.keeper.sandbox.programs.runner import PROGRAM_PATH_ADDRESS
from workers.keeper.sandbox.syscalls import AARCH64, X86_64

_WRITING: Final = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o20000000  # WRONLY RDWR CREAT TRUNC APPEND TMPFILE
_CLONE_THREAD: Final = 0x10000
#: What pthread_create passes: VM FS FILES SIGHAND THREAD SYSVSEM SETTLS *_SETTID *_CLEARTID DETACHED.
_THREAD_FLAGS: Final = 0x3D0F00 | 0x400000
_WORD: Final = 0xFFFF_FFFF
_DOUBLE_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """An argument, masked, equals a value."""

    argument: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A call allowed where all checks of one alternative hold; refused with `errno` otherwise.

    With `refusals` it is the other way round after the alternatives: refused where one of them holds.
    """

    alternatives: tuple[tuple[Check, ...], ...]
    errno: int = errno.EPERM
    refusals: tuple[tuple[Check, ...], ...] = ()


def _one_of(argument: int, *values: int) -> Condition:
    return Condition(
        alternatives=tuple((Check(argument=argument, mask=_WORD, value=value),) for value in values)
    )


def _without(argument: int, bits: int, refusal: int) -> Condition:
    return Condition(alternatives=((Check(argument=argument, mask=bits, value=0),),), errno=refusal)


#: Allowed whatever the arguments.
ALLOWED: Final = (
    *(
        "read",
        "write",
        "futex",
        "mmap",
        "munmap",
        "brk",
        "lseek",
        "fstat",
        "newfstatat",
        "stat",
        "lstat",
        "statx",
    ),
    *("close", "pread64", "readv", "writev", "preadv", "preadv2", "getdents64", "dup", "dup2", "dup3"),
    *(
        "close_range",
        "access",
        "faccessat",
        "faccessat2",
        "readlink",
        "readlinkat",
        "getcwd",
        "chdir",
        "fchdir",
    ),
    *("mprotect", "mremap", "madvise", "exit", "exit_group", "restart_syscall", "sched_yield", "rseq"),
    *("sched_getaffinity", "getcpu", "set_robust_list", "poll", "ppoll", "select", "pselect6", "pause"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait"),
    *("sigaltstack", "alarm", "getitimer", "setitimer", "nanosleep", "clock_nanosleep", "clock_gettime"),
    *(
        "clock_getres",
        "gettimeofday",
        "time",
        "times",
        "getrusage",
        "getrlimit",
        "getrandom",
        "uname",
        "sysinfo",
    ),
    *("getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid"),
    "getgroups",
)

#: Allowed for some arguments.
CONDITIONS: Final[Mapping[str, Condition]] = {
    # Only reading. The kernel reads the flags as an int, so the low word is what counts.
    "openat": _without(2, _WRITING, errno.EROFS),
    "open": _without(1, _WRITING, errno.EROFS),
    # Only threads of this process.
    "clone": Condition(
        alternatives=(
            (Check(argument=0, mask=_DOUBLE_WORD & ~_THREAD_FLAGS | _CLONE_THREAD, value=_CLONE_THREAD),),
        )
    ),
    # Reading one's own limits, not setting any.
    "prlimit64": Condition(
        alternatives=(
            (Check(argument=0, mask=_WORD, value=0), Check(argument=2, mask=_DOUBLE_WORD, value=0)),
        )
    ),
    # DUPFD GETFD SETFD GETFL SETFL DUPFD_CLOEXEC.
    "fcntl": _one_of(1, 0, 1, 2, 3, 4, 1030),
    # TCGETS TIOCGWINSZ FIONREAD FIONCLEX FIOCLEX.
    "ioctl": _one_of(1, 0x5401, 0x5413, 0x541B, 0x5450, 0x5451),
    # SET_NAME: newer interpreters name their threads.
    "prctl": _one_of(0, 15),
    "clone3": Condition(alternatives=(), errno=errno.ENOSYS),
    "openat2": Condition(alternatives=(), errno=errno.ENOSYS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one runtime may ask for: calls allowed whatever their arguments, and calls with conditions."""

    allowed: tuple[str, ...]
    conditions: Mapping[str, Condition]


PYTHON: Final = Policy(allowed=ALLOWED, conditions=CONDITIONS)

_MAP_FIXED, _MAP_GROWSDOWN, _MAP_FIXED_NOREPLACE, _MREMAP_FIXED = 0x10, 0x100, 0x100000, 2
#: All of an address but what lies within the lowest 128 KiB, where the path to become lies.
_ABOVE_LOWEST: Final = _DOUBLE_WORD & ~0x1FFFF

#: Deno: a Python script's calls, what an event loop and V8's protection of its code need, and one exec.
DENO: Final = Policy(
    allowed=(
        *(name for name in ALLOWED if name not in ("mmap", "mremap")),
        *("epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2"),
        *("timerfd_create", "timerfd_settime", "timerfd_gettime", "membarrier", "set_tid_address"),
        *("pkey_alloc", "pkey_free", "pkey_mprotect", "sched_getparam", "sched_getscheduler"),
        # From a pair of sockets of its own: there is no other socket.
        "recvfrom",
    ),
    conditions={
        **CONDITIONS,
        # Becoming Deno. Afterwards nothing is mapped at this address, nor can be: see the next two.
        "execve": Condition(
            alternatives=((Check(argument=0, mask=_DOUBLE_WORD, value=PROGRAM_PATH_ADDRESS),),)
        ),
        # Not at an address of the lowest 128 KiB, and nothing that could grow down into it.
        "mmap": Condition(
            alternatives=(
                (
                    Check(argument=0, mask=_DOUBLE_WORD, value=0),
                    Check(argument=3, mask=_MAP_FIXED | _MAP_FIXED_NOREPLACE | _MAP_GROWSDOWN, value=0),
                ),
            ),
            refusals=(
                (Check(argument=0, mask=_ABOVE_LOWEST, value=0),),
                (Check(argument=3, mask=_MAP_GROWSDOWN, value=_MAP_GROWSDOWN),),
            ),
        ),
        "mremap": _without(3, _MREMAP_FIXED, errno.EPERM),
        # SET_FS: the start of a program.
        "arch_prctl": _one_of(0, 0x1002),
        # AF_UNIX: a pair that leads nowhere, for the event loop's signals.
        "socketpair": _one_of(0, 1),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A machine the filter can be written for."""

    audit_number: int
    numbers: Mapping[str, int]


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "x86_64": Architecture(audit_number=0xC000003E, numbers=X86_64),
    "aarch64": Architecture(audit_number=0xC00000B7, numbers=AARCH64),
}

_LOAD_WORD: Final = 0x20
_AND: Final = 0x54
_JUMP_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_REFUSE: Final = 0x00050000
_NUMBER_OFFSET: Final = 0
_ARCHITECTURE_OFFSET: Final = 4
_ARGUMENTS_OFFSET: Final = 16

_Instruction = tuple[int, int, int, int]


def get_architecture() -> Architecture | None:
    """This machine's; None where the policy has no numbers for it."""
    return ARCHITECTURES.get(platform.machine())


def compile_filter(architecture: Architecture, policy: Policy = PYTHON) -> bytes:
    """A policy as an array of `struct sock_filter` (8 bytes each), for little-endian machines."""
    program: list[_Instruction] = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_EQUAL, 1, 0, architecture.audit_number),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD_WORD, 0, 0, _NUMBER_OFFSET),
    ]
    for name in policy.allowed:
        if name in architecture.numbers:
            program += [(_JUMP_EQUAL, 0, 1, architecture.numbers[name]), (_RETURN, 0, 0, _ALLOW)]
    for name, condition in policy.conditions.items():
        if name in architecture.numbers:
            block = _compile_condition(condition)
            program += [(_JUMP_EQUAL, 0, len(block), architecture.numbers[name]), *block]
    program.append((_RETURN, 0, 0, _REFUSE | errno.EPERM))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _compile_condition(condition: Condition) -> list[_Instruction]:
    block: list[_Instruction] = []
    refuse = _REFUSE | condition.errno
    for checks in condition.alternatives:
        block += _compile_checks(checks, _ALLOW)
    for checks in condition.refusals:
        block += _compile_checks(checks, refuse)
    return [*block, (_RETURN, 0, 0, _ALLOW if condition.refusals else refuse)]


def _compile_checks(checks: tuple[Check, ...], verdict: int) -> list[_Instruction]:
    """The verdict where every check holds; fall out of the end otherwise."""
    words = [
        (
            _ARGUMENTS_OFFSET + 8 * check.argument + 4 * half,
            check.mask >> 32 * half & _WORD,
            check.value >> 32 * half,
        )
        for check in checks
        for half in (1, 0)
        if check.mask >> 32 * half & _WORD
    ]
    block: list[_Instruction] = []
    for index, (offset, mask, value) in enumerate(words):
        left = 3 * (len(words) - index - 1) + 1
        block += [(_LOAD_WORD, 0, 0, offset), (_AND, 0, 0, mask), (_JUMP_EQUAL, 0, left, value & _WORD)]
    return [*block, (_RETURN, 0, 0, verdict)]
