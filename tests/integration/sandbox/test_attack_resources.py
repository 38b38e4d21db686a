"""What scripts that want more than their share get: memory, time, output, threads."""

import os
from pathlib import Path

import pytest

from tests.integration.sandbox.attacks import attack, gains_of
from workers.keeper.sandbox.data import MEBIBYTE, FailureCode, Sandbox, SandboxRequest

CRASHES = [FailureCode.SCRIPT_FAILED, FailureCode.SCRIPT_MEMORY, FailureCode.SCRIPT_KILLED]


@pytest.mark.parametrize(
    "script",
    [
        "bytearray(2 << 30)",
        "b'x' * (2 << 30)",
        "kept = []\nwhile True: kept.append(bytearray(1 << 20))",
        "kept = []\nwhile True: kept.append(object())",
        "kept = {}\nwhile True: kept[len(kept)] = str(len(kept)) * 10",
        "text = 'x'\nwhile True: text += text",
        "def grow(kept=[]):\n    kept.append(kept[:] + [1])\nwhile True: grow()",
    ],
)
def test_more_memory_than_allowed_ends_the_script(engine: Sandbox, script: str):
    result = attack(engine, script, memory_bytes=128 * MEBIBYTE, deadline_seconds=60)
    assert result.code == FailureCode.SCRIPT_MEMORY
    assert result.peak_memory_bytes <= 128 * MEBIBYTE


def test_two_gigabytes_do_not_fit_into_the_default_memory(engine: Sandbox):
    result = attack(engine, "kept = bytearray(400 << 20); done.append(len(kept)); kept += bytearray(2 << 30)")
    assert result.code == FailureCode.SCRIPT_MEMORY
    assert result.peak_memory_bytes <= 512 * MEBIBYTE


def test_a_mapping_of_two_gigabytes_is_refused(engine: Sandbox):
    script = """
    import mmap
    attempt("anonymous", mmap.mmap, -1, 2 << 30)
    attempt("lazy", mmap.mmap, -1, 2 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    """
    assert gains_of(attack(engine, script)) == []


def test_a_script_that_catches_the_lack_of_memory_stays_within_it(engine: Sandbox):
    script = """
    kept = []
    for _ in range(10_000):
        try:
            kept.append(bytearray(1 << 20))
        except MemoryError:
            pass
    size = len(kept)
    kept.clear()
    done.append(size)
    """
    (megabytes,) = gains_of(attack(engine, script, memory_bytes=256 * MEBIBYTE))
    assert 100 < megabytes < 256


def test_no_memory_can_be_had_outside_the_address_space(engine: Sandbox):
    script = """
    from multiprocessing import shared_memory
    attempt("memfd", os.memfd_create, "hidden")
    attempt("shm", shared_memory.SharedMemory, None, True, 1 << 20)
    attempt("sysv", lambda: must(libc.shmget(0, 1 << 20, 0o1666)))
    attempt("queue", lambda: must(libc.msgget(0, 0o1666)))
    attempt("lock", lambda: must(libc.mlockall(3)))
    attempt("pipe", os.pipe)
    """
    assert gains_of(attack(engine, script)) == []


@pytest.mark.parametrize(
    "script",
    [
        "while True: pass",
        "time.sleep(10**6)",
        "threading.Event().wait()",
        "import signal; signal.pause()",
        "[threading.Thread(target=threading.Event().wait).start() for _ in range(4)]",
        "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
        "10 ** 10 ** 10",
        "os.closerange(0, 100)\nwhile True: pass",
        "os.close(1); os.close(2); time.sleep(10**6)",
        "atexit.register(time.sleep, 10**6)",
        "import signal\nfor n in signal.valid_signals() - {9, 19}: signal.signal(n, print)\nwhile True: pass",
    ],
)
def test_a_script_without_end_is_ended_at_its_deadline(engine: Sandbox, script: str):
    result = attack(engine, script, deadline_seconds=0.6)
    assert result.code == FailureCode.SCRIPT_TIMEOUT
    assert 0.6 <= result.wall_seconds < 8


def test_a_script_that_never_reads_its_input_is_ended_at_its_deadline_too(engine: Sandbox):
    request = SandboxRequest(
        script=b"import time; time.sleep(10**6)", stdin=bytes(4 * MEBIBYTE), deadline_seconds=0.5
    )
    assert engine.run(request).code == FailureCode.SCRIPT_TIMEOUT


def test_a_script_that_burns_its_cpu_limit_is_ended_long_before_its_deadline(engine: Sandbox):
    result = attack(engine, "while True: pass", cpu_seconds=0.5, deadline_seconds=60)
    assert result.code == FailureCode.SCRIPT_TIMEOUT
    assert 0.5 <= result.cpu_seconds < 3


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is all there is")
def test_many_threads_get_no_more_than_their_core(engine: Sandbox):
    script = """
    import hashlib
    def burn():
        while True:
            hashlib.sha256(bytes(1 << 20)).digest()
    for _ in range(4):
        threading.Thread(target=burn, daemon=True).start()
    time.sleep(1.0)
    """
    result = attack(engine, script)
    assert result.status == "ok"
    assert result.cpu_seconds <= 1.35 * result.wall_seconds


def test_threads_are_allowed(engine: Sandbox):
    script = """
    sums = []
    threads = [threading.Thread(target=lambda: sums.append(sum(range(1000)))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.append(sum(sums))
    """
    assert gains_of(attack(engine, script)) == [20 * sum(range(1000))]


def test_a_flood_of_threads_ends_early(engine: Sandbox):
    script = """
    threading.stack_size(32768)
    stop = threading.Event()
    count = 0
    try:
        for _ in range(20_000):
            threading.Thread(target=stop.wait).start()
            count += 1
    except RuntimeError:
        pass
    stop.set()
    done.append(count)
    """
    others = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    (count,) = gains_of(attack(engine, script, deadline_seconds=60))
    assert 16 <= count <= others + 400


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_two_gigabytes_of_output_are_cut_short(engine: Sandbox, stream: str):
    script = f"block = 'x' * (1 << 20)\nfor _ in range(2048): sys.{stream}.write(block)"
    result = attack(engine, script, deadline_seconds=120)
    assert result.code == FailureCode.SCRIPT_OUTPUT_TOO_LARGE
    assert len(result.stdout) <= MEBIBYTE
    assert len(result.stderr_tail) <= 4096
    assert result.wall_seconds < 20


def test_one_byte_more_than_the_limit_is_too_much_and_the_limit_is_not(engine: Sandbox):
    def printing(size: int) -> SandboxRequest:
        return SandboxRequest(script=f"print('x' * {size}, end='')".encode(), stdout_limit_bytes=1000)

    assert engine.run(printing(1000)).stdout == b"x" * 1000
    assert engine.run(printing(1001)).code == FailureCode.SCRIPT_OUTPUT_TOO_LARGE


def test_a_flood_on_a_stray_descriptor_does_no_harm(engine: Sandbox):
    script = """
    for number in range(3, 10):
        try:
            for _ in range(1000):
                os.write(number, b"M" * 65536)
        except OSError:
            pass
    """
    assert attack(engine, script).status == "ok"


@pytest.mark.parametrize("script", ["ctypes.string_at(0)", "os.abort()", "ctypes.memset(id(None), 0, 4096)"])
def test_a_crash_of_the_interpreter_is_only_the_scripts(engine: Sandbox, script: str):
    result = attack(engine, script)
    assert result.code == FailureCode.SCRIPT_KILLED
    assert result.exit_code is not None
    assert result.exit_code > 128


@pytest.mark.parametrize(
    "source",
    [
        b"(" * 100_000,
        b"-" * 1_000_000 + b"1",
        b"x = " + b"[" * 5_000 + b"]" * 5_000,
        b"def f(: pass",
        b"\x00\x01\x02",
        b"\xff\xfe\xfd",
        b"# coding: no-such-coding\n",
    ],
)
def test_a_source_that_is_no_program_fails_as_a_script(engine: Sandbox, source: bytes):
    result = engine.run(SandboxRequest(script=source, deadline_seconds=20))
    assert result.code in CRASHES
    assert result.stdout == b""
