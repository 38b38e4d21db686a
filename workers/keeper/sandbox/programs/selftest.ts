// A script that tries to get out of its jail and says what it could do. It stands alone.
//
// Run by `verify_deno` with every permission Deno has to give, so that it is the jail alone that holds it.
// Stdin: {"outside": path of a file it must not read}. Stdout: {"leaks": [...], "faults": [...]}; both must be empty.

type Told = { outside: string };
type Attempt = () => unknown;

const told: Told = await new Response(Deno.stdin.readable).json();
const PROGRAM_PATH_ADDRESS = 0x10000n;

const libc = Deno.dlopen("libc.so.6", {
  fork: { parameters: [], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  unshare: { parameters: ["i32"], result: "i32" },
  ptrace: { parameters: ["i64", "i32", "usize", "usize"], result: "i64" },
  kill: { parameters: ["i32", "i32"], result: "i32" },
  execve: { parameters: ["buffer", "usize", "usize"], result: "i32" },
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
});

function must(result: number | bigint): void {
  if (BigInt(result) < 0n || BigInt(result) === 0xffffffffffffffffn) throw new Error("refused");
}

const attempts: Record<string, Attempt> = {
  read_outside: () => Deno.readTextFileSync(told.outside),
  write_here: () => Deno.writeTextFileSync("inputs/new", "x"),
  write_input: () => Deno.writeTextFileSync("inputs/given", "x"),
  write_tmp: () => Deno.writeTextFileSync("/tmp/forekeep-selftest", "x"),
  read_environment: () => Deno.readTextFileSync("/proc/self/environ"),
  run_program: () => new Deno.Command("/deno").outputSync(),
  listen: () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  connect: () => Deno.connect({ hostname: "127.0.0.1", port: 1 }),
  fork: () => must(libc.symbols.fork()),
  socket: () => must(libc.symbols.socket(2, 1, 0)),
  unshare: () => must(libc.symbols.unshare(0x10000000)),
  trace: () => must(libc.symbols.ptrace(0n, 0, 0n, 0n)),
  kill_parent: () => must(libc.symbols.kill(1, 0)),
  map_program_path: () => must(libc.symbols.mmap(PROGRAM_PATH_ADDRESS, 4096n, 3, 0x100022, -1, 0n)),
  execute: () => must(libc.symbols.execve(new TextEncoder().encode("/deno\0"), 0n, 0n)),
};

const leaks: string[] = [];
for (const [name, attempt] of Object.entries(attempts)) {
  try {
    await attempt();
    leaks.push(name);
  } catch {
    // held
  }
}

enum Fault {
  Inputs = "inputs",
}
const faults: Fault[] = [];
if (Deno.readTextFileSync("inputs/given") !== "read me") faults.push(Fault.Inputs);
console.log(JSON.stringify({ faults, leaks }));
