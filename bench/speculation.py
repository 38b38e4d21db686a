"""Runs of dependent steps with speculation off and on, against the critical path that is possible.

    python -m bench.speculation [--depths 2,3,5,10] [--lattice 3] [--repeat 1] [--many 20]

A whole deployment: real broker, keepers, signatures, attestation, Groth16 proofs and chain. A step's script
is a wait of 0.2 s, a proof is stretched to about 1 s by the deployment's proof delay, the chain makes a block
each 0.4 s. The limit is computed with these three numbers and nothing else: every step runs as soon as its
parents' outputs are there, is proved at once, and is confirmed in ancestor order. Signatures, attestation
by four keepers and the CPU that proofs really take are what lies between the limit and what is measured.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from apps.chains.anvil import AnvilProcess
from bench.deployment import Scratch, run_in_deployment
from bench.errors import run_bench
from bench.figures import Figure, percentile, tell
from bench.pipeline import load_text
from project.embedded.ports import find_free_ports

EXECUTE_SECONDS: Final = 0.2
PROVE_SECONDS: Final = 1.0
CONFIRM_SECONDS: Final = 0.4
#: what a proof of 16 steps takes by itself on an idle core, about
_OWN_PROOF_SECONDS: Final = 0.4
Shape = Mapping[str, Sequence[str]]


def main() -> None:
    """Measure every shape with speculation off and on, side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", default="2,3,5,10", help="lengths of the chains")
    parser.add_argument("--lattice", type=int, default=3, help="layers of two of the diamond lattice")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--many", type=int, default=20, help="chains of 3 at once, for the throughput")
    options = parser.parse_args()
    shapes = {f"chain of {n}": chain(int(n)) for n in options.depths.split(",") if n}
    if options.lattice:
        shapes[f"lattice of {options.lattice} layers"] = lattice(options.lattice)
    print(f"speculation: {', '.join(shapes)}; load {load_text()}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="forekeep-bench-chain-")))
        port = find_free_ports(("chain",))["chain"]
        node = stack.enter_context(AnvilProcess(folder, port, block_time_seconds=CONFIRM_SECONDS))
        environment = {
            "EXECUTOR": "bench.noop:open_waiting",
            "FOREKEEP_BENCH": "1",
            "LOG_LEVEL": "WARNING",
            "CHAIN_RPC_URL": node.url,
            "CHAIN_CONFIRMATIONS": "1",
            "FOREKEEP_PROOFS_SIZES": "16",
            "FOREKEEP_PROOFS_DELAY_SECONDS": str(PROVE_SECONDS - _OWN_PROOF_SECONDS),
            "FOREKEEP_PROOFS_GENERATIONS": "16",
            "FOREKEEP_PROOFS_SUBMISSIONS": "16",
            "PROVE_CONCURRENCY": "16",
            "FOREKEEP_SPECULATION_MODE": "custom",
            "FOREKEEP_SPECULATION_MAX_DEPTH": "20",
            "FOREKEEP_SPECULATION_MAX_BRANCHES": "16",
            "FOREKEEP_SPECULATION_BOND_FORM": "linear",
        }
        found = run_in_deployment(
            environment,
            lambda scratch: (
                measure(scratch, shapes, options.repeat),
                measure_rates(scratch, options.many) if options.many else None,
            ),
            timeout_seconds=1_500,
        )
    measured, rates = found
    for name, off, on, hops in measured:
        tell(figures_of(name, shapes[name], off, on, hops))
    if rates:
        tell(rate_figures(options.many, *rates))


def measure(
    scratch: Scratch, shapes: Mapping[str, Shape], repeat: int
) -> list[tuple[str, list[float], list[float], list[float]]]:
    """Shape, seconds off, seconds on, and seconds between one step's end and the next one's start."""
    scratch.set_up_django()
    driving: Any = import_module("bench.driving")
    ahead: Any = import_module("bench.running_ahead")
    driving.wait_for_keepers(scratch, 5)
    ahead.measure_run(scratch, chain(2), is_ahead=True)
    found = []
    for name, shape in shapes.items():
        off = [ahead.measure_run(scratch, shape, is_ahead=False).seconds for _ in range(repeat)]
        runs = [ahead.measure_run(scratch, shape, is_ahead=True) for _ in range(repeat)]
        found.append(
            (name, off, [run.seconds for run in runs], [hop for run in runs for hop in run.hops_seconds])
        )
    return found


def measure_rates(scratch: Scratch, count: int) -> tuple[float, float]:
    """Tasks per second of many chains at once, with speculation off and on. After `measure`."""
    ahead: Any = import_module("bench.running_ahead")
    off = ahead.measure_rate(scratch, chain(3), count, is_ahead=False)
    return off, ahead.measure_rate(scratch, chain(3), count, is_ahead=True)


def rate_figures(count: int, off: float, on: float) -> list[Figure]:
    """What running ahead costs or gains where the machine is full."""
    bench = f"speculation, {count} chains of 3 at once"
    return [
        Figure(bench=bench, name="off, tasks confirmed", value=off, unit="/s"),
        Figure(bench=bench, name="on, tasks confirmed", value=on, unit="/s", ratio=on / off, beside="off"),
    ]


def figures_of(
    name: str, shape: Shape, off: Sequence[float], on: Sequence[float], hops: Sequence[float]
) -> list[Figure]:
    """Off, on, the limit, and what a hop costs."""
    limit, sequential = compute_limit(shape), compute_sequential(shape)
    best_off, best_on = min(off), min(on)

    def figure(what: str, value: float, unit: str, ratio: float = 0.0, beside: str = "") -> Figure:
        return Figure(
            bench=f"speculation, {name}", name=what, value=value, unit=unit, ratio=ratio, beside=beside
        )

    return [
        figure("off, opened → last confirmed", best_off, "s", best_off / sequential, "the steps one by one"),
        figure("on, opened → last confirmed", best_on, "s", best_on / limit, "the limit"),
        figure("sooner", best_off - best_on, "s", best_off / best_on, "on"),
        figure("limit (computed)", limit, "s"),
        figure("one by one (computed)", sequential, "s"),
        *(
            figure(f"a hop, p{share}", percentile(hops, share / 100) * 1e3, "ms")
            for share in (50, 99)
            if hops
        ),
    ]


def compute_limit(shape: Shape) -> float:
    """When the last step can be confirmed: executed ahead, proved at once, confirmed in order."""
    executed: dict[str, float] = {}
    confirmed: dict[str, float] = {}
    for step, parents in shape.items():
        executed[step] = max((executed[one] for one in parents), default=0.0) + EXECUTE_SECONDS
        above = max((confirmed[one] for one in parents), default=0.0)
        confirmed[step] = max(executed[step] + PROVE_SECONDS, above) + CONFIRM_SECONDS
    return max(confirmed.values())


def compute_sequential(shape: Shape) -> float:
    """The same where a step starts when its parents are confirmed."""
    confirmed: dict[str, float] = {}
    for step, parents in shape.items():
        above = max((confirmed[one] for one in parents), default=0.0)
        confirmed[step] = above + EXECUTE_SECONDS + PROVE_SECONDS + CONFIRM_SECONDS
    return max(confirmed.values())


def chain(length: int) -> Shape:
    """Each step after the one before."""
    return {f"s{n}": [f"s{n - 1}"] if n else [] for n in range(length)}


def lattice(layers: int) -> Shape:
    """One step, layers of two where each stands on both above, one step: diamonds one below the other."""
    shape: dict[str, list[str]] = {"top": []}
    above = ["top"]
    for layer in range(layers):
        pair = [f"l{layer}", f"r{layer}"]
        shape |= {step: list(above) for step in pair}
        above = pair
    shape["bottom"] = above
    return shape


if __name__ == "__main__":
    os.environ.setdefault("FOREKEEP_BENCH", "1")
    run_bench(main)
