"""What a proof costs: set-up, loading a key, proving and verifying per circuit size, and against zksnake.

    python -m bench.proofs [sizes, default 16,64,128,512] [proofs per size, default 5]

Times are CPU seconds of this one process, so that a busy machine does not change them; wall seconds are
beside them. Proving is also measured through a prover of two slots, as the system uses it. "zksnake" is
its own Groth16 over the very same constraints, where they are few enough to be written out.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("ZKSNAKE_PARALLEL_CPU", "1")

from zksnake.array import SparseArray
from zksnake.groth16.protocol import Groth16

from apps.proofs.data import Proof, ProofRequest, TaskWitness
from apps.proofs.domain.field import ORDER
from apps.proofs.domain.statement import (
    SIZES,
    compute_statement,
    evaluate,
    record_circuit,
    witness_of_run,
)
from apps.proofs.groth16 import prove, verify
from apps.proofs.keys import compute_key_path, ensure_keys, load_proving_key
from workers.prover.process import ProverProcess

#: Above this many constraints the matrices are not written out: they grow with the square of the rounds.
PLAIN_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU and wall seconds."""

    cpu: float
    wall: float

    def __str__(self) -> str:
        return f"{self.cpu:8.3f} ({self.wall:7.3f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One size's figures."""

    size: int
    constraints: int
    setup: Cost
    load: Cost
    prove: Cost
    verify: Cost
    key_bytes: int


def measure(act: Callable[[], object], times: int = 1) -> Cost:
    """The least of several times."""
    found = []
    for _ in range(times):
        cpu, wall = time.process_time(), time.perf_counter()
        act()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    return Cost(cpu=min(cpu for cpu, _ in found), wall=min(wall for _, wall in found))


def make_witness(size: int, task_id: int) -> TaskWitness:
    """A run that fills a circuit."""
    half = size // 2
    return witness_of_run(
        task_id=task_id,
        input_digests=[(at + 1).to_bytes(32) for at in range(half)],
        measures=range(half - 2),
        output_digest=b"\x07" * 32,
        salt=task_id + 1,
    )


def measure_size(folder: Path, size: int, proofs: int) -> Row:
    """Set up, load, prove, verify."""
    witness = make_witness(size, 1)
    public_input = compute_statement(witness).public_input
    setup = measure(lambda: ensure_keys(folder, size))
    verifying = ensure_keys(folder, size)
    keys = []
    load = measure(lambda: keys.append(load_proving_key(folder, size)))
    made: list[Proof] = []
    proving = measure(lambda: made.append(prove(keys[0], evaluate(witness))), proofs)
    verifying_cost = measure(lambda: require(verify(verifying, [public_input], made[-1])), proofs)
    return Row(
        size=size,
        constraints=len(record_circuit(size).constraints),
        setup=setup,
        load=load,
        prove=proving,
        verify=verifying_cost,
        key_bytes=compute_key_path(folder, size).stat().st_size,
    )


def measure_plain(size: int, proofs: int) -> tuple[Cost, Cost, Cost]:
    """The same with zksnake's own Groth16 on our constraints."""
    circuit, witness = record_circuit(size), make_witness(size, 1)
    plain = object.__new__(Groth16)
    Groth16.__init__(plain, PlainConstraints(circuit))
    setup = measure(plain.setup)
    values = [int(value) for value in evaluate(witness).assignment]
    made = []
    proving = measure(lambda: made.append(plain.prove(values[:2], values[2:])), proofs)
    return setup, proving, measure(lambda: require(plain.verify(made[-1], values[:2])), proofs)


class PlainConstraints:
    """Our constraints in the form zksnake's Groth16 takes."""

    def __init__(self, circuit) -> None:
        self.n_public = circuit.public_count + 1
        rows, columns = len(circuit.constraints), len(circuit.variables)
        self.A, self.B, self.C = (SparseArray([[]], rows, columns, ORDER) for _ in range(3))
        for number, sides in enumerate(circuit.expand()):
            for matrix, side in zip((self.A, self.B, self.C), sides, strict=True):
                matrix.append([(number, column, value) for column, value in side.items()])


def measure_prover(folder: Path, size: int, proofs: int) -> tuple[float, float]:
    """Through the prover process: seconds of one proof (least), and proofs per second, two at a time."""
    with ProverProcess(
        socket=folder / "p.sock",
        keys=folder,
        environ={"FOREKEEP_PROOFS_SIZES": str(size), "FOREKEEP_PROOFS_GENERATIONS": "2"},
    ) as prover:
        requests = [
            ProofRequest(handle=f"p{at}", witness=make_witness(size, at), timeout_seconds=600)
            for at in range(2 * proofs)
        ]
        prover.client.prove(requests[0])
        single = min(measure(lambda: prover.client.prove(requests[0])).wall for _ in range(proofs))
        with ThreadPoolExecutor(2) as pool:
            began = time.perf_counter()
            list(pool.map(prover.client.prove, requests))
            return single, len(requests) / (time.perf_counter() - began)


def require(condition: object) -> None:
    """End the benchmark where a proof does not verify."""
    if not condition:
        raise SystemExit("a proof does not verify")


def main(sizes: list[int], proofs: int) -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory(prefix="forekeep-bench-") as scratch:
        folder = Path(scratch)
        print("CPU seconds (wall seconds); each the least of", proofs)
        titles = "".join(f"{title:>19}" for title in ("set-up", "load key", "prove", "verify"))
        print(f"{'steps':>5}{'constraints':>12}{titles}{'key MB':>8}")
        rows = []
        for size in sizes:
            row = measure_size(folder, size, proofs)
            rows.append(row)
            costs = "".join(f"{cost!s:>19}" for cost in (row.setup, row.load, row.prove, row.verify))
            print(f"{row.size:5}{row.constraints:12}{costs}{row.key_bytes / 1e6:8.1f}", flush=True)
        for one, other in pairwise(rows):
            steps, seconds = other.size / one.size, other.prove.cpu / one.prove.cpu
            print(
                f"{other.size} / {one.size} steps: {steps:.1f} x the steps, {seconds:.2f} x the time to prove"
            )

        single, rate = measure_prover(folder, sizes[0], proofs)
        print(
            f"through the prover, {sizes[0]} steps: {single:.3f} s a proof, two at a time {rate:.2f} proofs/s"
        )

        print(f"\nzksnake {'set-up':>19}{'prove':>19}{'verify':>19}{'ours is':>22}")
        for row in rows:
            if row.constraints > PLAIN_MAX:
                print(f"{row.size:5}   not measured: the matrices would have to be written out")
                continue
            setup, proving, verifying = measure_plain(row.size, proofs)
            ratio = f"{setup.cpu / row.setup.cpu:.1f} x / {proving.cpu / row.prove.cpu:.1f} x faster"
            print(f"{row.size:5}   {setup!s:>19}{proving!s:>19}{verifying!s:>19}{ratio:>22}", flush=True)


if __name__ == "__main__":
    arguments = [*sys.argv[1:], "", ""]
    chosen = [int(size) for size in (arguments[0] or ",".join(map(str, SIZES))).split(",")]
    main(chosen, int(arguments[1] or 5))
