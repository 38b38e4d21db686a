"""`python -m bench` (`make bench`): every bench with short defaults, one after the other, and one table.

Each runs in a process of its own with a time limit; one that cannot be made says why and the others go on.
DATABASE_URL names a PostgreSQL server for the second half of each; nothing of it but a scratch database is
touched. Longer runs: `python -m bench.<name> --help`.
"""

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from bench.errors import BenchFailed, run_bench, run_to_end
from bench.figures import FILE_VARIABLE, Figure, line_of, read_figures
from bench.pipeline import load_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One bench: its module with arguments, and how long it may take."""

    module: str
    arguments: Sequence[str] = ()
    timeout_seconds: float = 600.0


PARTS: Final = (
    Part(module="bench.pipeline", arguments=("--tasks", "1000", "--light", "5"), timeout_seconds=900),
    Part(module="bench.statements", arguments=("--rounds", "1")),
    Part(module="bench.api", arguments=("--seconds", "5")),
    Part(module="bench.events"),
    Part(module="bench.rollback", timeout_seconds=900),
    Part(module="bench.sandbox", arguments=("30",)),
)


def main() -> None:
    """Run all, then print the table; raise BenchFailed where a part failed."""
    began = time.monotonic()
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="forekeep-bench-") as folder:
        file = Path(folder) / "figures.jsonl"
        file.touch()
        for part in PARTS:
            print(f"== {part.module} {' '.join(part.arguments)}", flush=True)
            try:
                _run(part, {**os.environ, FILE_VARIABLE: str(file)})
            except BenchFailed as exc:
                failed.append(str(exc))
        print_table(read_figures(file))
    print(f"\n{time.monotonic() - began:.0f} s; load now {load_text()}")
    if failed:
        raise BenchFailed("; ".join(failed))


def print_table(figures: Sequence[Figure]) -> None:
    """All figures, by bench."""
    for bench, group in groupby(figures, key=lambda figure: figure.bench):
        print(f"\n{bench}")
        for figure in group:
            print(f"  {line_of(figure)}")


def _run(part: Part, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", part.module, *part.arguments]
    run_to_end(command, timeout_seconds=part.timeout_seconds, environment=environment)


if __name__ == "__main__":
    run_bench(main)
