"""What the prover is told by its environment; a value it cannot use stops it, naming the variable."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apps.proofs.domain.statement import SIZES

SOCKET_NAME = "prover.sock"
KEYS_FOLDER = "proofs"


class ConfigInvalid(Exception):
    """A variable with a value that cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProverConfig:
    """Where it listens, where its keys are, and how much it may do at once.

    `nice` is added to the process' priority value: proofs take what nobody else wants of the machine.
    `sizes` are loaded at the start, the others when first asked for. It stops with `parent`, where given.
    """

    socket: Path
    keys: Path
    slots: int = 4
    waiting_max: int = 256
    nice: int = 15
    sizes: tuple[int, ...] = (16,)
    parent: int | None = None


def read_config(environ: Mapping[str, str]) -> ProverConfig:
    """The settings of `python -m workers.prover`; raises ConfigInvalid."""
    home = Path(environ.get("FOREKEEP_HOME") or "var").expanduser().absolute()
    return ProverConfig(
        socket=Path(environ.get("PROVER_SOCKET") or home / "run" / SOCKET_NAME),
        keys=Path(environ.get("PROVER_KEYS") or home / KEYS_FOLDER),
        slots=_count(environ, "PROVER_SLOTS", 4, 1, 64),
        waiting_max=_count(environ, "PROVER_WAITING_MAX", 256, 1, 100_000),
        nice=_count(environ, "PROVER_NICE", 15, 0, 19),
        sizes=_sizes(environ),
        parent=_count(environ, "PROVER_PARENT", 0, 0, 1 << 31) or None,
    )


def _count(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdigit() or not low <= int(text) <= high:
        raise ConfigInvalid(f"{name} is {text!r}; a whole number from {low} to {high} is expected")
    return int(text)


def _sizes(environ: Mapping[str, str]) -> tuple[int, ...]:
    text = environ.get("PROVER_SIZES") or str(SIZES[0])
    names = {str(size): size for size in SIZES}
    if not set(text.split(",")) <= set(names):
        raise ConfigInvalid(f"PROVER_SIZES is {text!r}; some of {','.join(names)} are expected")
    return tuple(names[name] for name in text.split(","))
