"""What a JavaScript program tries to get out of its jail: as Deno lets it, and with every permission.

With `--allow-all` nothing of Deno's own stands in the way, and its foreign function interface makes any
system call: so these show the jail.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workers.keeper.sandbox.data import (
    MEBIBYTE,
    TYPESCRIPT,
    FailureCode,
    Sandbox,
    SandboxRequest,
    SandboxResult,
)
from workers.keeper.sandbox.deno import EVERY_PERMISSION, PERMISSIONS

PREAMBLE = """
const told: any = await new Response(Deno.stdin.readable).json();
const done: [string, string][] = [];
async function attempt(name: string, act: () => unknown): Promise<void> {
  try { done.push([name, String(await act()).slice(0, 100)]); } catch { /* refused */ }
}
"""
SYSCALL = """
const libc = Deno.dlopen("libc.so.6", {
  syscall: { parameters: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"], result: "i64" },
});
function call(number: number, ...given: (number | bigint)[]): bigint {
  const [a, b, c, d, e, f] = [...given, 0, 0, 0, 0, 0, 0].map(BigInt);
  const result = libc.symbols.syscall(BigInt(number), a, b, c, d, e, f);
  if (BigInt(result) < 0n) throw new Error("refused");
  return BigInt(result);
}
"""
#: x86-64's numbers of what no script has a use for.
FORBIDDEN = {
    "socket": (41, 2, 1, 0),
    "connect": (42, 0, 0, 0),
    "sendto": (44, 0, 0, 0),
    "bind": (49, 0, 0, 0),
    "fork": (57,),
    "vfork": (58,),
    "clone with a process": (56, 17, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "execveat": (322, 3, 0, 0, 0, 0x1000),
    "kill": (62, 1, 0),
    "tgkill": (234, 1, 1, 0),
    "ptrace": (101, 0, 0, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "unshare": (272, 0x10000000),
    "setns": (308, 0, 0),
    "bpf": (321, 0, 0, 0),
    "io_uring_setup": (425, 1, 0),
    "userfaultfd": (323, 0),
    "perf_event_open": (298, 0, 0, 0, 0, 0),
    "keyctl": (250, 0, 0),
    "memfd_create": (319, 0, 0),
    "setrlimit": (160, 0, 0),
    "prctl dumpable": (157, 4, 1),
    "personality": (135, 0),
    "chmod": (90, 0, 0),
    "shmget": (29, 0, 4096, 0o1666),
    "map the lowest page": (9, 0x10000, 4096, 3, 0x32, -1, 0),
    "hint at the lowest page": (9, 0x8000, 4096, 3, 0x22, -1, 0),
    "map what grows down": (9, 0, 4096, 3, 0x122, -1, 0),
    "map from zero": (9, 0, 0x20000, 3, 0x32, -1, 0),
    "remap to a fixed place": (25, 0, 4096, 4096, 3, 0x10000),
    "execve the path that was": (59, 0x10000, 0, 0),
}


@pytest.fixture
def guarded(engine: Sandbox) -> Sandbox:
    if TYPESCRIPT not in engine.languages:
        pytest.skip(f"{engine.name} has no deno here")
    return engine


@pytest.fixture
def unguarded(guarded: Any) -> Iterator[Any]:
    """The same jail around a Deno that permits everything."""
    kept = guarded.deno
    guarded.use_deno(replace(kept, permissions=EVERY_PERMISSION))
    yield guarded
    guarded.use_deno(kept)


@pytest.fixture(params=[PERMISSIONS, EVERY_PERMISSION], ids=["guarded", "unguarded"])
def either(guarded: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Both, one after the other."""
    kept = guarded.deno
    guarded.use_deno(replace(kept, permissions=request.param))
    yield guarded
    guarded.use_deno(kept)


def attack(sandbox: Any, script: str, told: Any = None, **facts: Any) -> SandboxResult:
    facts = {"deadline_seconds": 30.0, "inputs": {"given": b"x"}, **facts}
    source = PREAMBLE + script + "\nconsole.log(JSON.stringify(done));\n"
    result: SandboxResult = sandbox.run(
        SandboxRequest(script=source.encode(), language=TYPESCRIPT, stdin=json.dumps(told).encode(), **facts)
    )
    return result


def gains_of(result: SandboxResult) -> list[Any]:
    assert result.status == "ok", result
    return list(json.loads(result.stdout))


FILES = """
for (const path of told.paths) {
  await attempt("read " + path, () => Deno.readTextFileSync(path));
  await attempt("list " + path, () => [...Deno.readDirSync(path)].length);
}
await attempt("write tmp", () => Deno.writeTextFileSync("/tmp/forekeep-intruder", "x"));
await attempt("write here", () => Deno.writeTextFileSync("intruder", "x"));
await attempt("write input", () => Deno.writeTextFileSync("inputs/given", "x"));
await attempt("remove input", () => Deno.removeSync("inputs/given"));
await attempt("write there", () => Deno.writeTextFileSync(told.folder + "/intruder", "x"));
await attempt("link", () => Deno.symlinkSync("/etc/shadow", "inputs/link"));
await attempt("make", () => Deno.mkdirSync("inputs/folder"));
await attempt("temporary", () => Deno.makeTempFileSync());
"""
SECRETS = [
    "/etc/shadow",
    "/etc/passwd",
    "/proc/self/environ",
    "/proc/1/environ",
    "/root",
    "/home",
    "/dev/mem",
]


def test_no_file_but_the_inputs_can_be_read_and_none_written(either: Any, open_folder: Path):
    (open_folder / "secret").write_text("secret")
    told = {"paths": [*SECRETS, str(open_folder), str(open_folder / "secret")], "folder": str(open_folder)}
    assert gains_of(attack(either, FILES, told)) == []
    assert not (open_folder / "intruder").exists()
    assert not Path("/tmp/forekeep-intruder").exists()


NETWORK = """
await attempt("fetch", () => fetch(told.url));
await attempt("connect", () => Deno.connect({ hostname: "127.0.0.1", port: 1 }));
await attempt("listen", () => Deno.listen({ port: 0 }));
await attempt("resolve", () => Deno.resolveDns("example.org", "A"));
await attempt("unix", () => Deno.listen({ transport: "unix", path: "/tmp/forekeep-socket" }));
await attempt("websocket", () => new Promise((ok, no) => {
  const socket = new WebSocket(told.url.replace("http", "ws"));
  socket.onopen = ok; socket.onerror = no;
}));
await attempt("import", () => import(told.url + "/x.ts"));
"""


def test_no_network_can_be_reached(either: Any):
    assert gains_of(attack(either, NETWORK, {"url": "http://127.0.0.1:9"})) == []


PROGRAMS = """
for (const path of ["/deno", "/bin/sh", "/python/bin/python3", "/usr/bin/env", told.executable]) {
  await attempt("run " + path, () => new Deno.Command(path).outputSync());
  await attempt("spawn " + path, () => new Deno.Command(path, { stdin: "null" }).spawn().status);
}
await attempt("signal", () => Deno.kill(1, "SIGKILL"));
await attempt("signal parent", () => Deno.kill(Deno.ppid, "SIGKILL"));
"""


def test_no_program_can_be_run_and_nobody_signalled(either: Any):
    assert gains_of(attack(either, PROGRAMS, {"executable": str(either.deno.executable)})) == []


def test_without_permissions_there_is_no_environment_no_machine_and_no_foreign_function(guarded: Any):
    script = """
    await attempt("environment", () => JSON.stringify(Deno.env.toObject()));
    await attempt("host", () => Deno.hostname());
    await attempt("memory", () => Deno.systemMemoryInfo().total);
    await attempt("users", () => Deno.uid());
    await attempt("library", () => Deno.dlopen("libc.so.6", {}));
    await attempt("raise", () => Deno.permissions.request({ name: "net" }).then((s) => {
      if (s.state !== "granted") throw s;
    }));
    """
    assert gains_of(attack(guarded, script)) == []


def test_with_every_permission_the_environment_holds_nothing_of_the_keepers(unguarded: Any):
    script = "done.push(['environment', Object.keys(Deno.env.toObject()).sort().join()]);"
    ((_, names),) = gains_of(attack(unguarded, script))
    assert not set(names.split(",")) & (set(os.environ) - {"HOME", "LC_ALL", "TZ", "NO_COLOR"})


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
def test_no_forbidden_system_call_can_be_made_from_inside(unguarded: Any):
    script = (
        SYSCALL
        + """
    await attempt("getpid", () => call(39));
    for (const [name, given] of Object.entries(told) as [string, number[]][])
      await attempt(name, () => call(given[0], ...given.slice(1)));
    """
    )
    assert [name for name, _ in gains_of(attack(unguarded, script, FORBIDDEN))] == ["getpid"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")
def test_the_runtime_cannot_be_replaced_by_another_program(unguarded: Any):
    script = (
        SYSCALL
        + """
    const path = new TextEncoder().encode(told.executable + "\\0");
    const at = Deno.UnsafePointer.value(Deno.UnsafePointer.of(path));
    await attempt("execve", () => call(59, at, 0n, 0n));
    await attempt("execveat", () => call(322, -100, at, 0n, 0n, 0n));
    """
    )
    told = {"executable": str(unguarded.deno.seen_at)}
    assert gains_of(attack(unguarded, script, told)) == []


def test_a_flood_of_workers_ends_the_script_and_nothing_else(guarded: Any):
    script = """
    const code = "data:application/javascript,for(;;){}";
    for (let n = 0; n < 500; n++) new Worker(code, { type: "module" });
    await new Promise(() => {});
    """
    result = attack(guarded, script, deadline_seconds=5.0, memory_bytes=256 * MEBIBYTE)
    assert result.status == "failed"
    assert result.code in (
        FailureCode.SCRIPT_MEMORY,
        FailureCode.SCRIPT_KILLED,
        FailureCode.SCRIPT_TIMEOUT,
        FailureCode.SCRIPT_FAILED,
    )
    assert result.peak_memory_bytes <= 512 * MEBIBYTE


def test_a_flood_of_promises_and_of_timers_is_bounded(guarded: Any):
    script = "for (;;) setTimeout(() => {}, 1e6);"
    result = attack(guarded, script, deadline_seconds=20.0, memory_bytes=192 * MEBIBYTE)
    assert result.code in (FailureCode.SCRIPT_MEMORY, FailureCode.SCRIPT_TIMEOUT)


def test_a_crash_of_the_runtime_is_only_the_scripts(unguarded: Any):
    script = "new Deno.UnsafePointerView(Deno.UnsafePointer.create(8n)!).getUint8(0);"
    result = attack(unguarded, script)
    assert result.code == FailureCode.SCRIPT_KILLED
    assert result.exit_code is not None
    assert result.exit_code > 128


def test_as_root_deno_is_not_root(unguarded: Any):
    script = "done.push(['uid', String(Deno.uid())]);"
    assert gains_of(attack(unguarded, script)) == [["uid", "65534"]] or os.geteuid() != 0


def test_the_filter_of_deno_does_not_come_with_python(guarded: Any):
    """Python's own jail still has no exec at all, though Landlock lets the file be executed."""
    run = f"os.execv({guarded.deno.seen_at!r}, ['deno', '--version'])"
    script = f"import os\ntry:\n    {run}\nexcept OSError:\n    print('no')"
    result = guarded.run(SandboxRequest(script=script.encode()))
    assert result.stdout == b"no\n"
