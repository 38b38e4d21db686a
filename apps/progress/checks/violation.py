"""What a check finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken invariant: its number, what is wrong, and where."""

    invariant: int
    reason: str
    where: str


class Fault(Protocol):
    """What the apps below find when they check their own rows."""

    @property
    def invariant(self) -> int:
        """Its number."""

    @property
    def reason(self) -> str:
        """What is wrong."""

    @property
    def where(self) -> str:
        """In which row."""


def of_task(invariant: int, reason: str, task: object) -> Violation:
    """A violation by its task's id."""
    return Violation(invariant=invariant, reason=reason, where=f"task_{getattr(task, 'hex', task)}")


def of_run(invariant: int, reason: str, run: object) -> Violation:
    """A violation by its run's id."""
    return Violation(invariant=invariant, reason=reason, where=f"run_{getattr(run, 'hex', run)}")


def of_attempt(invariant: int, reason: str, task: object, epoch: int) -> Violation:
    """A violation by its task's id and the attempt it is about."""
    name = f"task_{getattr(task, 'hex', task)} attempt {epoch}"
    return Violation(invariant=invariant, reason=reason, where=name)


def taken_over(faults: Iterable[Fault]) -> Iterable[Violation]:
    """What an app below found, as violations."""
    for fault in faults:
        yield Violation(invariant=fault.invariant, reason=fault.reason, where=fault.where)
