"""The local EVM node: one private anvil process whose chain survives restarts, crashes and kill -9.

The binary comes with `npm ci` (see `find_anvil`). A transaction is mined at once. While anything on the
chain is younger than `idle_after_blocks`, one more block follows every `block_time_seconds`, so that
confirmations come; then the chain rests, because anvil's state file holds every block and would grow
by 150 MB a day. The state is written here, whole or not at all (anvil's own `--state-interval`
rewrites its file in place, and a kill in that moment leaves half a file).

`python -m apps.chains.anvil --state-dir DIR --port PORT` runs a node in the foreground until SIGTERM;
it exits with 1 when the node dies, for a supervisor to start it again.
"""

import argparse
import contextlib
import gzip
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from apps.chains.errors import AnvilFailed, AnvilMissing

VERSION: Final = "1.7.1"
STATE_FILE: Final = "state.json"
PID_FILE: Final = "anvil.pid"
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
#: A state file above this size is cut down to its last blocks before the node loads it.
_COMPACT_ABOVE_BYTES: Final = 4 * 1024 * 1024
_KEPT_BLOCKS: Final = 512
_KEPT_VARIABLES: Final = ("PATH", "FOREKEEP_PROCESS_TOKEN")
#: Asks Linux for a SIGTERM when the parent is gone (PR_SET_PDEATHSIG), then becomes the node.
_TIE: Final = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15, 0, 0, 0); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)
_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def find_anvil(root: Path | None = None) -> Path:
    """The anvil binary: from `node_modules` of this repository (`npm ci`), else the one on PATH.

    The package is `@foundry-rs/anvil-<linux|darwin>-<amd64|arm64>`, whose `bin/anvil` is a plain
    executable: Node is needed to install it, never to run it. Raises AnvilMissing.
    """
    root = root or Path(__file__).resolve().parents[2]
    machine = _MACHINES.get(platform.machine().lower(), platform.machine().lower())
    package = f"@foundry-rs/anvil-{platform.system().lower()}-{machine}"
    installed = root / "node_modules" / package / "bin" / "anvil"
    if installed.is_file() and os.access(installed, os.X_OK):
        return installed
    on_path = shutil.which("anvil")
    if on_path is None:
        raise AnvilMissing(looked_in=str(installed))
    return Path(on_path)


class AnvilProcess:
    """A private node on loopback, hard fork prague (BLS12-381 precompiles); a context manager.

    Entering starts it from `state_dir` and returns once it answers; leaving saves and stops it. It has
    no accounts of its own: money comes by `anvil_setBalance`. `kill` and `start` again are safe.
    """

    def __init__(
        self,
        state_dir: Path,
        port: int,
        block_time_seconds: float = 1,
        chain_id: int = 31337,
        *,
        save_every_seconds: float = 1.0,
        idle_after_blocks: int = 64,
        extra_arguments: Sequence[str] = (),
    ) -> None:
        self.state_dir = state_dir
        self.port = port
        self.chain_id = chain_id
        self.url = f"http://127.0.0.1:{port}"
        self._block_time_seconds = block_time_seconds
        self._save_every_seconds = save_every_seconds
        self._idle_after_blocks = idle_after_blocks
        self._extra_arguments = tuple(extra_arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx2.Client(base_url=self.url, timeout=30.0, trust_env=False)
        self._stopping = threading.Event()
        self._pacemaker: threading.Thread | None = None
        self._save_lock = threading.Lock()
        self._saved_head = ""

    def __enter__(self) -> Self:
        """Start the node."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Save and stop the node."""
        self.stop()
        self._http.close()

    @property
    def pid(self) -> int:
        """The node's process id; AnvilFailed where none runs."""
        if self._process is None:
            raise AnvilFailed(reason="not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the node from its saved state and wait until it answers; raise AnvilFailed."""
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        cache = self.state_dir / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        state = self.state_dir / STATE_FILE
        if state.is_file():
            compact_state(state)
        self._require_free_port()
        with (self.state_dir / "anvil.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._arguments(state, cache),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                cwd=self.state_dir,
                start_new_session=True,
            )
        (self.state_dir / PID_FILE).write_text(f"{self._process.pid}\n", encoding="ascii")
        self._wait_until_it_answers()
        self._saved_head = ""
        self._stopping.clear()
        self._pacemaker = threading.Thread(target=self._keep_pace, name="anvil-pacemaker", daemon=True)
        self._pacemaker.start()

    def stop(self) -> None:
        """Save the chain and end the node; safe to call twice."""
        self._end_pacemaker()
        if self.is_running:
            with contextlib.suppress(AnvilFailed, httpx2.HTTPError, OSError):
                self.save()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node with SIGKILL, saving nothing: what a crash does."""
        self._end_pacemaker()
        self._end(signal.SIGKILL)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the node to end on its own; whether it has."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def request(self, method: str, *parameters: Any) -> Any:
        """One JSON-RPC call to the node, the `anvil_…` and `evm_…` ones included; raise AnvilFailed."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        answer = self._http.post("/", json=body).json()
        if "error" in answer:
            raise AnvilFailed(reason=str(answer["error"])[:500])
        return answer["result"]

    def save(self) -> None:
        """Write the chain's state to disk, atomically, unless the head is already saved."""
        with self._save_lock:
            head = str(self.request("eth_getBlockByNumber", "latest", False)["hash"])
            if head == self._saved_head:
                return
            state = gzip.decompress(bytes.fromhex(self.request("anvil_dumpState")[2:]))
            _write_atomically(self.state_dir / STATE_FILE, state)
            self._saved_head = head

    def _arguments(self, state: Path, cache: Path) -> list[str]:
        arguments = [
            *_tied_to_this_process(),
            str(find_anvil()),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        arguments += ["--chain-id", str(self.chain_id), "--hardfork", "prague", "--accounts", "0"]
        arguments += ["--no-request-size-limit", "--cache-path", str(cache), "--quiet"]
        arguments += ["--max-persisted-states", "256", *self._extra_arguments]
        if state.is_file():
            arguments += ["--load-state", str(state)]
        return arguments

    def _environment(self) -> dict[str, str]:
        """None of our secrets; what marks the process as the supervisor's stays."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return {**kept, "HOME": str(self.state_dir)}

    def _require_free_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as exc:
                raise AnvilFailed(reason="the port is taken", port=self.port) from exc

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        pause = threading.Event()
        while True:
            if not self.is_running:
                raise AnvilFailed(reason="it ended at once", log=self._log_tail())
            with contextlib.suppress(httpx2.HTTPError):
                chain_id = int(self.request("eth_chainId"), 16)
                break
            if time.monotonic() > deadline:
                self._end(signal.SIGKILL)
                raise AnvilFailed(reason=f"no answer within {_START_SECONDS} s", log=self._log_tail())
            pause.wait(0.02)
        if chain_id != self.chain_id:
            self._end(signal.SIGKILL)
            raise AnvilFailed(reason="the saved chain has another id", found=chain_id)

    def _keep_pace(self) -> None:
        """Follow young transactions with blocks and save what changed; until stopped or the node is gone."""
        quiet_blocks, head, next_save = 0, -1, 0.0
        while not self._stopping.wait(self._block_time_seconds):
            if not self.is_running:
                return
            try:
                now_head = int(self.request("eth_blockNumber"), 16)
                quiet_blocks = quiet_blocks if now_head == head else 0
                if quiet_blocks < self._idle_after_blocks:
                    self.request("evm_mine")
                    quiet_blocks, now_head = quiet_blocks + 1, now_head + 1
                head = now_head
                if time.monotonic() >= next_save:
                    started_at = time.monotonic()
                    self.save()
                    taken = time.monotonic() - started_at
                    next_save = started_at + max(self._save_every_seconds, 10 * taken)
            except (AnvilFailed, httpx2.HTTPError, OSError, ValueError):
                continue

    def _end_pacemaker(self) -> None:
        self._stopping.set()
        if self._pacemaker is not None:
            self._pacemaker.join()
            self._pacemaker = None

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return (self.state_dir / "anvil.log").read_text(errors="replace")[-2000:]
        return ""


def compact_state(state: Path) -> bool:
    """Cut a large state file down to its last blocks, accounts untouched; whether it was cut."""
    if state.stat().st_size <= _COMPACT_ABOVE_BYTES:
        return False
    content = json.loads(state.read_bytes())
    first_kept = int(content["best_block_number"]) - _KEPT_BLOCKS
    numbered = [(int(block["header"]["number"], 16), block) for block in content["blocks"]]
    kept = [block for number, block in numbered if number == 0 or number >= first_kept]
    if len(kept) == len(numbered):
        return False
    content["blocks"] = kept
    content["transactions"] = [
        item for item in content["transactions"] if int(item["block_number"]) >= first_kept
    ]
    _write_atomically(state, json.dumps(content, separators=(",", ":")).encode())
    return True


def _tied_to_this_process() -> list[str]:
    """A launcher that ends the node with us, however we end. It follows the thread that starts it, so it is
    used from the main thread only, which lives as long as the process does.
    """
    if not sys.platform.startswith("linux") or threading.current_thread() is not threading.main_thread():
        return []
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid())]


def _write_atomically(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def main(arguments: Sequence[str]) -> int:
    """Run a node in the foreground until SIGTERM or SIGINT; 1 when the node ended by itself."""
    parser = argparse.ArgumentParser(prog="python -m apps.chains.anvil", description="The local EVM node.")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--block-time-seconds", type=float, default=1.0)
    parser.add_argument("--chain-id", type=int, default=31337)
    options = parser.parse_args(arguments)

    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    try:
        with AnvilProcess(
            options.state_dir, options.port, options.block_time_seconds, options.chain_id
        ) as node:
            sys.stdout.write(f"chain {node.chain_id} on {node.url}\n")
            sys.stdout.flush()
            while not asked.wait(0.2):
                if not node.is_running:
                    sys.stderr.write("the node ended by itself\n")
                    return 1
    except (AnvilMissing, AnvilFailed) as exc:
        sys.stderr.write(f"{exc.title}: {exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
