"""The filter, run by a small BPF machine: against libseccomp's own program for the same policy."""

import errno
import platform
import struct
import tempfile

import pyseccomp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.keeper.sandbox.seccomp import ALLOWED, ARCHITECTURES, CONDITIONS, DENO, compile_filter

ALLOW, KILL = 0x7FFF0000, 0x80000000
LIBSECCOMP = {"x86_64": pyseccomp.Arch.X86_64, "aarch64": pyseccomp.Arch.AARCH64}
INTERESTING = [
    0,
    1,
    2,
    3,
    15,
    17,
    0o100,
    0o1000,
    0o2000,
    0o20000000,
    0x5401,
    0x5412,
    0x3D0F00,
    0x10000,
    0x10000000,
]
words = st.one_of(
    st.sampled_from(INTERESTING),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.just(2**32),
    st.just(2**63),
)
arguments = st.lists(words, min_size=6, max_size=6)


def judge(program: bytes, number: int, audit: int, values: list[int]) -> int:
    """Run a classic BPF program over a `struct seccomp_data`."""
    data = struct.pack("<IIQ6Q", number, audit, 0, *values)
    instructions = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        code, jump_true, jump_false, k = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x54:
            accumulator &= k
        elif code == 0x06:
            return k
        elif code == 0x05:
            at += k
        else:
            holds = {
                0x15: accumulator == k,
                0x25: accumulator > k,
                0x35: accumulator >= k,
                0x45: accumulator & k,
            }[code]
            at += jump_true if holds else jump_false


def build_with_libseccomp() -> bytes:
    """The same policy, compiled by libseccomp for this machine."""
    made = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in ALLOWED:
        if pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) >= 0:
            made.add_rule(pyseccomp.ALLOW, name)
    for name, condition in CONDITIONS.items():
        for checks in condition.alternatives:
            masks = [pyseccomp.Arg(c.argument, pyseccomp.MASKED_EQ, c.mask, c.value) for c in checks]
            if pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) >= 0:
                made.add_rule(pyseccomp.ALLOW, name, *masks)
    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()


@pytest.mark.parametrize("machine", list(ARCHITECTURES))
def test_every_number_is_the_one_libseccomp_has(machine: str):
    for name, number in ARCHITECTURES[machine].numbers.items():
        assert pyseccomp.resolve_syscall(LIBSECCOMP[machine], name) == number, name


@pytest.mark.parametrize("machine", list(ARCHITECTURES))
def test_no_call_of_the_policy_is_forgotten_in_the_table(machine: str):
    for name in {*ALLOWED, *CONDITIONS, *DENO.allowed, *DENO.conditions}:
        number = pyseccomp.resolve_syscall(LIBSECCOMP[machine], name)
        assert (name in ARCHITECTURES[machine].numbers) == (number >= 0), name


@pytest.mark.parametrize("machine", list(ARCHITECTURES))
def test_the_program_fits_into_what_the_kernel_takes(machine: str):
    program = compile_filter(ARCHITECTURES[machine])
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096


@pytest.mark.skipif(platform.machine() not in ARCHITECTURES, reason="no filter for this machine")
@settings(max_examples=60, deadline=None)
@given(values=arguments)
def test_the_filter_allows_exactly_what_libseccomps_allows(values: list[int]):
    architecture = ARCHITECTURES[platform.machine()]
    ours = compile_filter(architecture)
    for number in range(480):
        mine = judge(ours, number, architecture.audit_number, values)
        theirs = judge(THEIRS, number, architecture.audit_number, values)
        assert (mine == ALLOW) == (theirs == ALLOW), (number, values)


THEIRS = build_with_libseccomp() if platform.machine() in ARCHITECTURES else b""


@pytest.mark.parametrize("machine", list(ARCHITECTURES))
@given(number=st.integers(0, 2**32 - 1), values=arguments)
def test_calls_that_are_not_listed_are_refused(machine: str, number: int, values: list[int]):
    architecture = ARCHITECTURES[machine]
    verdict = judge(compile_filter(architecture), number, architecture.audit_number, values)
    if number not in architecture.numbers.values():
        assert verdict == 0x50000 | errno.EPERM


@pytest.mark.parametrize("machine", list(ARCHITECTURES))
@given(audit=st.integers(0, 2**32 - 1), number=st.integers(0, 500))
def test_calls_of_another_architecture_end_the_process(machine: str, audit: int, number: int):
    if audit != ARCHITECTURES[machine].audit_number:
        assert judge(compile_filter(ARCHITECTURES[machine]), number, audit, [0] * 6) == KILL


@pytest.mark.parametrize(
    ("name", "values", "verdict"),
    [
        ("openat", [0, 0, 0o2000000], ALLOW),
        ("openat", [0, 0, 0o1], 0x50000 | errno.EROFS),
        ("openat", [0, 0, 0o2], 0x50000 | errno.EROFS),
        ("openat", [0, 0, 0o100], 0x50000 | errno.EROFS),
        ("openat", [0, 0, 0o20200000], 0x50000 | errno.EROFS),
        ("clone", [0x3D0F00], ALLOW),
        ("clone", [0x7D0F00], ALLOW),
        ("clone", [17], 0x50000 | errno.EPERM),
        ("clone", [0x3D0F00 | 0x10000000], 0x50000 | errno.EPERM),
        ("clone", [0x3D0F00 | 1 << 32], 0x50000 | errno.EPERM),
        ("clone3", [0], 0x50000 | errno.ENOSYS),
        ("prlimit64", [0, 7, 0, 1], ALLOW),
        ("prlimit64", [0, 7, 1 << 32, 0], 0x50000 | errno.EPERM),
        ("prlimit64", [1, 7, 0, 1], 0x50000 | errno.EPERM),
        ("ioctl", [0, 0x5401], ALLOW),
        ("ioctl", [0, 0x5412], 0x50000 | errno.EPERM),
        ("fcntl", [0, 3], ALLOW),
        ("fcntl", [0, 8], 0x50000 | errno.EPERM),
        ("prctl", [15], ALLOW),
        ("prctl", [4], 0x50000 | errno.EPERM),
    ],
)
@pytest.mark.parametrize("machine", list(ARCHITECTURES))
def test_a_call_is_judged_by_its_arguments(machine: str, name: str, values: list[int], verdict: int):
    architecture = ARCHITECTURES[machine]
    program = compile_filter(architecture)
    padded = values + [0] * (6 - len(values))
    assert judge(program, architecture.numbers[name], architecture.audit_number, padded) == verdict


@pytest.mark.parametrize(
    ("name", "values", "is_allowed"),
    [
        ("execve", [0x10000], True),
        ("execve", [0x10001], False),
        ("execve", [0x7F0000010000], False),
        ("mmap", [0, 4096, 3, 0x22], True),
        ("mmap", [0x7F0000000000, 4096, 7, 0x32], True),
        ("mmap", [0x20000, 4096, 3, 0x32], True),
        ("mmap", [0x10000, 4096, 3, 0x32], False),
        ("mmap", [0x1F000, 4096, 3, 0x22], False),
        ("mmap", [0x1, 4096, 3, 0x22], False),
        ("mmap", [0, 0x20000, 3, 0x32], False),
        ("mmap", [0, 0x20000, 3, 0x100022], False),
        ("mmap", [0x7F0000000000, 4096, 3, 0x122], False),
        ("mremap", [0x7F0000000000, 4096, 8192, 1], True),
        ("mremap", [0x7F0000000000, 4096, 4096, 3], False),
        ("socketpair", [1, 1, 0], True),
        ("socketpair", [2, 1, 0], False),
        ("epoll_ctl", [1], True),
        ("openat", [0, 0, 0], True),
        ("openat", [0, 0, 0o101], False),
    ],
)
@pytest.mark.parametrize("machine", list(ARCHITECTURES))
def test_denos_filter_lets_one_exec_through_and_nothing_near_its_path(
    machine: str, name: str, values: list[int], is_allowed: bool
):
    architecture = ARCHITECTURES[machine]
    program = compile_filter(architecture, DENO)
    padded = [*values, *[0] * (6 - len(values))]
    verdict = judge(program, architecture.numbers[name], architecture.audit_number, padded)
    assert (verdict == ALLOW) == is_allowed
    assert len(program) // 8 < 4096
