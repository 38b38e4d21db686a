"""What a bench found out: figures with their unit, each beside a peer or a limit of the same run.

A bench prints its own figures; under `python -m bench` they also go, as JSON lines, into the file that
BENCH_FIGURES names, from which the one table is made.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FILE_VARIABLE: Final = "BENCH_FIGURES"
_WIDTH: Final = 46


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number. `ratio` is how it stands to what `beside` names (0: stands alone)."""

    bench: str
    name: str
    value: float
    unit: str
    ratio: float = 0.0
    beside: str = ""


def tell(figures: Iterable[Figure]) -> None:
    """Print figures, and hand them to whoever collects."""
    found = tuple(figures)
    for figure in found:
        print(f"  {line_of(figure)}", flush=True)
    path = os.environ.get(FILE_VARIABLE)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(figure)) + "\n" for figure in found)


def read_figures(path: Path) -> list[Figure]:
    """The figures collected in a file."""
    return [Figure(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def line_of(figure: Figure) -> str:
    """One figure as a person reads it."""
    ratio = f"{figure.ratio:8.2f} × {figure.beside}" if figure.beside else ""
    return f"{figure.name:<{_WIDTH}} {number_text(figure.value):>9} {figure.unit:<12} {ratio}".rstrip()


def number_text(value: float) -> str:
    """Three digits or so, whatever the size."""
    if value and abs(value) < 10:
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
