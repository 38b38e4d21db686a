"""The proving keys the server holds: each loaded once, when first asked for, a little at a time.

A small key takes a second or two, the largest most of a minute; meanwhile the server goes on answering
and making proofs with the keys it has.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from apps.kernel.errors import DomainError
from apps.proofs.data import VerifyingKey
from apps.proofs.groth16 import ProvingKey
from apps.proofs.keys import load_steps, read_verifying_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Both keys of one size."""

    proving: ProvingKey
    verifying: VerifyingKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """What one step came to: done, given up with an error, or neither yet."""

    size: int
    is_done: bool
    error: DomainError | None = None


class KeyRing:
    """Keys by size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[int, Keys] = {}
        self._loading: dict[int, tuple[VerifyingKey, Generator[None, None, ProvingKey]]] = {}

    @property
    def sizes(self) -> list[int]:
        """What is loaded."""
        return sorted(self._loaded)

    @property
    def is_loading(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._loading)

    def get(self, size: int) -> Keys | None:
        """The keys, or None while they are being loaded; raises ProvingKeyMissing, ProvingKeyCorrupt."""
        found = self._loaded.get(size)
        if found is None and size not in self._loading:
            self._loading[size] = read_verifying_key(self._folder, size), load_steps(self._folder, size)
        return found

    def step(self) -> Loading:
        """Load a little of the smallest key; one that cannot be loaded is given up."""
        size = min(self._loading)
        verifying, steps = self._loading[size]
        try:
            next(steps)
        except StopIteration as done:
            self._loaded[size] = Keys(proving=done.value, verifying=verifying)
        except DomainError as exc:
            del self._loading[size]
            return Loading(size=size, is_done=False, error=exc)
        else:
            return Loading(size=size, is_done=False)
        del self._loading[size]
        return Loading(size=size, is_done=True)
