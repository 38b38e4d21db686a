"""What hostile scripts reach for, against every engine present. After each the engine must still work."""

import os
import signal
import socket
import threading
from pathlib import Path

import pyseccomp
import pytest

from tests.integration.sandbox.attacks import attack, gains_of
from tests.support.waiting import wait_until
from workers.keeper.sandbox.data import AbortHandle, FailureCode, Sandbox, SandboxRequest
from workers.keeper.sandbox.errors import SandboxRequestInvalid

HERE = Path(__file__).parent
IS_X86 = os.uname().machine == "x86_64"

#: Nothing a script needs. What a machine's libseccomp does not know is left out.
FORBIDDEN_CALLS = (HERE / "forbidden_calls.txt").read_text().split()


def test_a_fork_bomb_gets_no_process(engine: Sandbox):
    script = """
    import multiprocessing, subprocess
    def fork():
        if os.fork() == 0:
            os._exit(0)
    for _ in range(50):
        attempt("fork", fork)
    attempt("popen", subprocess.Popen, [sys.executable, "-c", "pass"])
    attempt("spawn", os.posix_spawn, sys.executable, [sys.executable, "-c", "pass"], {})
    attempt("process", multiprocessing.Process(target=print).start)
    for name, arguments in told.items():
        attempt(name, call, *arguments)
    """
    raw = {
        "fork": [57],
        "vfork": [58],
        "clone": [56, 17, 0, 0, 0, 0],
        "clone with memory": [56, 0x100, 0, 0, 0, 0],
    }
    assert gains_of(attack(engine, script, raw if IS_X86 else {})) == []


def test_an_endless_fork_bomb_just_fails(engine: Sandbox):
    result = attack(engine, "while True: os.fork()")
    assert result.code == FailureCode.SCRIPT_FAILED
    assert "PermissionError" in result.stderr_tail


def test_no_other_program_can_be_started(engine: Sandbox):
    script = """
    for program in ("/bin/sh", "/usr/bin/env", sys.executable, "/runner.py"):
        attempt("exec", os.execv, program, [program])
    """
    assert gains_of(attack(engine, script)) == []


def test_a_daemon_that_would_outlive_its_script_does_not_come_to_be(engine: Sandbox):
    script = """
    attempt("session", os.setsid)
    attempt("fork", os.fork)
    threading.Thread(target=time.sleep, args=[10**6], daemon=True).start()
    """
    assert gains_of(attack(engine, script)) == []


def test_nothing_can_be_written_anywhere(engine: Sandbox, open_folder: Path):
    canary = open_folder / "canary"
    canary.write_text("untouched")
    canary.chmod(0o666)
    script = """
    import sysconfig
    folders = [".", "..", "../..", "inputs", "/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/work", "/home",
               "/root", "/etc", "/usr/lib", "/proc/self", "/sys", sysconfig.get_path("stdlib")]
    folders.append(os.path.dirname(told))
    for folder in folders:
        path = os.path.join(folder, "intruder")
        attempt(f"create {folder}", open, path, "w")
        attempt(f"append {folder}", open, path, "a")
        attempt(f"unnamed {folder}", os.open, folder, os.O_TMPFILE | os.O_RDWR)
        attempt(f"mkdir {folder}", os.mkdir, path)
        attempt(f"fifo {folder}", os.mkfifo, path)
        attempt(f"node {folder}", os.mknod, path)
        attempt(f"symlink {folder}", os.symlink, "/etc/shadow", path)
        attempt(f"chmod {folder}", os.chmod, folder, 0o777)
    for path in ("script.py", "inputs/given", "/runner.py", os.__file__, sys.executable, told, "/etc/passwd",
                 "/proc/self/mem", "/proc/self/oom_score_adj", "/dev/null"):
        for mode in ("w", "a", "r+"):
            attempt(f"{mode} {path}", open, path, mode)
        attempt(f"truncate {path}", os.truncate, path, 0)
        attempt(f"remove {path}", os.remove, path)
        attempt(f"rename {path}", os.rename, path, path + ".bak")
        attempt(f"link {path}", os.link, path, "inputs/linked")
        attempt(f"utime {path}", os.utime, path)
        attempt(f"chown {path}", os.chown, path, 0, 0)
        attempt(f"chmod {path}", os.chmod, path, 0o777)
        attempt(f"xattr {path}", os.setxattr, path, "user.x", b"1")
    """
    assert gains_of(attack(engine, script, str(canary), inputs={"given": b"given"})) == []
    assert canary.read_text() == "untouched"
    assert [path.name for path in open_folder.iterdir()] == ["canary"]


def test_no_socket_of_any_kind_can_be_had(engine: Sandbox, open_folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(open_folder / "socket"))
        unix.listen()
        script = """
        import asyncio, urllib.request
        for family in range(0, 46):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
                attempt(f"socket {family} {kind}", lambda: socket.socket(family, kind).detach())
        attempt("pair", socket.socketpair)
        attempt("tcp", socket.create_connection, ("127.0.0.1", told), 2)
        attempt("http", urllib.request.urlopen, f"http://127.0.0.1:{told}/", None, 2)
        attempt("name", socket.getaddrinfo, "example.org", 80)
        attempt("loop", asyncio.new_event_loop)
        """
        assert gains_of(attack(engine, script, tcp.getsockname()[1])) == []
        for server in (tcp, unix):
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()


def test_calls_into_the_machinery_of_the_kernel_are_refused(engine: Sandbox):
    system = pyseccomp.system_arch()
    numbers = {name: pyseccomp.resolve_syscall(system, name) for name in FORBIDDEN_CALLS}
    known = {name: number for name, number in numbers.items() if number >= 0}
    assert len(known) > 100
    script = """
    for name, number in told.items():
        attempt(name, call, number, 0, 0, 0, 0, 0, 0)
    options = {"dumpable": (4, 1), "ptracer": (0x59616d61, -1), "subreaper": (36, 1), "keepcaps": (8, 1),
               "mm": (35, 1), "no death signal": (1, 0), "speculation": (53, 0, 4), "tsc": (26, 1)}
    for name, arguments in options.items():
        attempt(name, lambda: must(libc.prctl(*arguments, 0, 0, 0)))
    """
    assert gains_of(attack(engine, script, known)) == []


@pytest.mark.skipif(not IS_X86, reason="the 32-bit gate is a thing of x86")
def test_the_32_bit_gate_into_the_kernel_ends_the_script(engine: Sandbox):
    script = """
    import mmap
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, getpid; int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    done.append(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
    """
    result = attack(engine, script)
    assert result.code == FailureCode.SCRIPT_KILLED
    assert result.exit_code == 128 + signal.SIGSYS


@pytest.mark.skipif(not IS_X86, reason="x32 is a thing of x86")
def test_the_x32_numbers_of_forbidden_calls_are_refused(engine: Sandbox):
    script = """
    for number in (41, 53, 56, 57, 58, 59, 101, 165, 257, 272, 520, 521, 545):
        attempt(str(number), call, 0x40000000 + number, 0, 0, 0, 0, 0, 0)
    """
    assert gains_of(attack(engine, script)) == []


def test_files_outside_cannot_be_read(engine: Sandbox, tmp_path: Path, open_folder: Path):
    keystore = tmp_path / "keystore.json"
    keystore.write_text('{"private_key": "0xdead"}')
    keystore.chmod(0o600)
    open_file = open_folder / "open to all"
    open_file.write_text("open to all")
    open_file.chmod(0o644)
    paths = [
        *(HERE / "secret_paths.txt").read_text().split(),
        *(f"/proc/{os.getpid()}/{name}" for name in ("environ", "maps", "fd", "root/etc/passwd")),
        *(str(path) for path in (keystore, tmp_path, open_file, open_folder)),
        *(str(path) for path in (HERE, Path(__file__))),
    ]
    script = """
    for path in told:
        attempt(f"read {path}", lambda: open(path, "rb").read(100))
        attempt(f"list {path}", os.listdir, path)
    """
    assert gains_of(attack(engine, script, paths)) == []


def test_the_keepers_environment_is_not_there(engine: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_KEY", "very secret")
    script = """
    libc.getenv.restype = ctypes.c_char_p
    names = ("HOME", "PATH", "USER", "SECRET_KEY", "FOREKEEP_HOME", "VIRTUAL_ENV")
    done.extend([dict(os.environ), [name for name in names if libc.getenv(name.encode())]])
    """
    assert gains_of(attack(engine, script)) == [{}, []]


def test_no_descriptor_of_the_keeper_is_open(engine: Sandbox):
    script = """
    def is_open(number):
        try:
            os.fstat(number)
        except OSError:
            return False
        return True
    done.extend(number for number in range(0, 4096) if is_open(number))
    """
    assert set(gains_of(attack(engine, script))) <= {0, 1, 2, 3}


def test_the_kernels_own_switches_cannot_be_turned(engine: Sandbox):
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    switches = [
        *(
            "/proc/sys/kernel/core_pattern",
            "/proc/sysrq-trigger",
            "/proc/sys/kernel/modprobe",
            "/proc/self/uid_map",
        ),
        *(
            "/proc/sys/vm/drop_caches",
            "/sys/kernel/uevent_helper",
            "/sys/power/state",
            "/proc/self/attr/current",
        ),
        *(
            "/sys/fs/cgroup/cgroup.procs",
            "/sys/fs/cgroup/pids/cgroup.procs",
            "/dev/kmsg",
            "/proc/1/oom_score_adj",
        ),
    ]
    script = """
    for path in told:
        attempt(path, lambda: open(path, "w").write("|/tmp/intruder"))
        attempt(path, os.open, path, os.O_WRONLY)
    """
    assert gains_of(attack(engine, script, switches)) == []
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_no_process_can_be_signalled(engine: Sandbox):
    script = """
    import signal
    for pid in (-1, 0, 1, 2, os.getpid(), os.getppid(), -os.getpid(), told):
        for number in (0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
            attempt(f"kill {pid} {number}", os.kill, pid, number)
    attempt("group", os.killpg, 0, 9)
    attempt("thread", signal.pthread_kill, threading.get_ident(), 9)
    """
    assert gains_of(attack(engine, script, os.getpid())) == []


def test_no_other_identity_can_be_had(engine: Sandbox):
    script = """
    for identity in (0, 1, 1000, 65534):
        attempt("uid", os.setuid, identity)
        attempt("gid", os.setgid, identity)
        attempt("euid", os.seteuid, identity)
        attempt("resuid", os.setresuid, identity, identity, identity)
        attempt("resgid", os.setresgid, identity, identity, identity)
        attempt("groups", os.setgroups, [identity])
    done.append([os.getuid() == 0, os.geteuid() == 0, os.getgid() == 0])
    """
    assert gains_of(attack(engine, script)) == [[False, False, False]]


def test_inputs_cannot_be_turned_into_links_elsewhere(engine: Sandbox):
    script = """
    attempt("symlink", os.symlink, "/etc/passwd", "inputs/passwd")
    attempt("link", os.link, "/etc/passwd", "inputs/passwd")
    attempt("replace", os.replace, "inputs/given", "inputs/other")
    attempt("bind", lambda: must(libc.mount(b"/etc", b"inputs", 0, 4096, 0)))
    done.append([open("inputs/given").read(), sorted(os.listdir("inputs")), sorted(os.listdir("."))])
    """
    gains = gains_of(attack(engine, script, inputs={"given": b"mine"}))
    assert gains == [["mine", ["given"], ["inputs"]]]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", ".hidden", "x" * 101, "ü"]
)
def test_an_input_name_that_leads_elsewhere_is_refused(name: str):
    with pytest.raises(SandboxRequestInvalid):
        SandboxRequest(script=b"", inputs={name: b""})


def test_the_inputs_of_another_job_cannot_be_read(engine: Sandbox):
    handle = AbortHandle()
    slow = SandboxRequest(script=b"import time\ntime.sleep(60)", inputs={"secret": b"of another project"})
    worker = threading.Thread(target=engine.run, args=[slow, handle])
    worker.start()
    try:
        secrets = wait_until(
            lambda: [str(path) for path in Path("/tmp").glob("forekeep-sandbox-*/work-*/inputs/secret")]
        )
        script = """
        for path in told + ["../inputs/secret", "../*/inputs/secret", "/work/inputs/secret"]:
            attempt(path, lambda: open(path).read())
            attempt(path, lambda: os.listdir(os.path.dirname(path)).index("secret"))
        for folder in ("/tmp", os.path.dirname(told[0]) + "/../.."):
            attempt(folder, os.listdir, folder)
        """
        assert gains_of(attack(engine, script, secrets)) == []
    finally:
        handle.abort()
        worker.join()


def test_the_runner_cannot_be_persuaded_to_run_a_second_job(engine: Sandbox):
    assert gains_of(attack(engine, "done.append(os.read(0, 100).decode())")) == [""]
