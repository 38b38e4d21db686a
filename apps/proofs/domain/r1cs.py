"""Circuits: one description, run in two ways.

A circuit is a function that takes a `Builder` and says what is computed; a wire is an integer. Given an
`Evaluator` the wires are values, and running the function gives the assignment and both factors of
every constraint: all that a prover needs, without touching a matrix. Given a `Recorder` the wires are
numbers, and running it gives the `Circuit`: a tape of linear operations and the constraints
left · right = product between its wires. Linear operations are free: they cost no constraint.

The function must make the same calls whatever the values are; wire 0 is the constant one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from apps.proofs.domain.field import ORDER, number
from apps.proofs.errors import WitnessInvalid

ONE: Final = 0
#: A linear operation: constant + Σ coefficient · wire.
Terms = tuple[tuple[int, int], ...]
#: A linear combination of variables: coefficient by variable, variable 0 being the constant one.
Combination = dict[int, int]


class Builder(Protocol):
    """What a circuit is written against. Values are None while recording and ignored there."""

    def public(self, value: int | None) -> int:
        """The next public input; all of them come before any other variable."""

    def private(self, value: int | None) -> int:
        """A private variable that the caller computed."""

    def linear(self, constant: int, *terms: tuple[int, int]) -> int:
        """constant + Σ coefficient · wire."""

    def multiply(self, left: int, right: int) -> int:
        """A new variable constrained to left · right."""

    def require(self, left: int, right: int, product: int) -> None:
        """Constrain left · right = product."""

    @property
    def one(self) -> int:
        """The wire that is one."""


class Evaluator:
    """Runs a circuit on values.

    `assignment` is the value of every variable from the constant one on; `lefts` and `rights` are the
    factors of the constraints in order. A constraint that does not hold raises WitnessInvalid.
    """

    one: Final = 1

    def __init__(self) -> None:
        self.assignment: list[int] = [number(1)]
        self.lefts: list[int] = []
        self.rights: list[int] = []
        self._order = number(ORDER)
        self._public_count = 0

    def public(self, value: int | None) -> int:
        """See Builder."""
        self._public_count += 1
        return self.private(value)

    def private(self, value: int | None) -> int:
        """See Builder."""
        if value is None:
            raise WitnessInvalid(reason="a variable has no value")
        element: int = number(value) % self._order
        self.assignment.append(element)
        return element

    def linear(self, constant: int, *terms: tuple[int, int]) -> int:
        """See Builder."""
        for coefficient, value in terms:
            constant += coefficient * value
        return constant % self._order

    def multiply(self, left: int, right: int) -> int:
        """See Builder."""
        product = left * right % self._order
        self.lefts.append(left)
        self.rights.append(right)
        self.assignment.append(product)
        return product

    def require(self, left: int, right: int, product: int) -> None:
        """See Builder."""
        if (left * right - product) % self._order:
            raise WitnessInvalid(reason="a constraint does not hold", constraint=len(self.lefts))
        self.lefts.append(left)
        self.rights.append(right)

    def finish(self) -> None:
        """The constraints that `Recorder.finish` adds."""
        for value in self.assignment[: self._public_count + 1]:
            self.require(value, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A recorded circuit.

    `tape` holds an operation per wire: None for a variable, (constant, terms) for a linear one.
    `variables` are the wires that are variables, in order, wire 0 first; `public_count` of those after
    it are public. `constraints` are (left, right, product) wires.
    """

    tape: Sequence[tuple[int, Terms] | None]
    variables: Sequence[int]
    public_count: int
    constraints: Sequence[tuple[int, int, int]]

    def compute_digest(self) -> bytes:
        """SHA-256 of everything there is: two circuits with one digest have the same constraints."""
        digest = hashlib.sha256(b"forekeep.circuit.v1\n")
        digest.update(f"{self.public_count} {len(self.tape)} {len(self.constraints)}\n".encode())
        for wire, operation in enumerate(self.tape):
            if operation is not None:
                constant, terms = operation
                text = " ".join(f"{coefficient:x}*{term}" for coefficient, term in terms)
                digest.update(f"{wire}={constant:x} {text}\n".encode())
        for left, right, product in self.constraints:
            digest.update(f"{left}*{right}={product}\n".encode())
        return digest.digest()

    def weigh_columns(self, weights: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
        """Per variable, Σ weight_i · coefficient in constraint i, for the left, right and product sides.

        `weights` has one element per constraint. The combinations are never written out: the weights run
        back along the tape once, which is linear in its length where the matrices are quadratic.
        """
        return (
            self._weigh((left for left, _, _ in self.constraints), weights),
            self._weigh((right for _, right, _ in self.constraints), weights),
            self._weigh((product for _, _, product in self.constraints), weights),
        )

    def expand(self) -> tuple[tuple[Combination, Combination, Combination], ...]:
        """The constraints over variables, written out: the matrices' rows. For small circuits and tests."""
        place = {wire: at for at, wire in enumerate(self.variables)}
        written: list[Combination] = []
        for wire, operation in enumerate(self.tape):
            if operation is None:
                written.append({place[wire]: 1})
                continue
            constant, terms = operation
            found: Combination = {ONE: constant}
            for coefficient, term in terms:
                for variable, value in written[term].items():
                    found[variable] = (found.get(variable, 0) + coefficient * value) % ORDER
            written.append({variable: value for variable, value in found.items() if value})
        return tuple((written[a], written[b], written[c]) for a, b, c in self.constraints)

    def _weigh(self, wires: Iterable[int], weights: Sequence[int]) -> list[int]:
        order = number(ORDER)
        totals = [number(0)] * len(self.tape)
        for wire, weight in zip(wires, weights, strict=True):
            totals[wire] += weight
        for wire in range(len(self.tape) - 1, 0, -1):
            operation = self.tape[wire]
            if operation is None or not totals[wire]:
                continue
            constant, terms = operation
            total = totals[wire] % order
            totals[ONE] += constant * total
            for coefficient, term in terms:
                totals[term] += coefficient * total
        return [int(totals[wire] % order) for wire in self.variables]


class Recorder:
    """Writes a circuit down."""

    one: Final = ONE

    def __init__(self) -> None:
        self._tape: list[tuple[int, Terms] | None] = [None]
        self._variables = [ONE]
        self._constraints: list[tuple[int, int, int]] = []
        self._public_count = 0

    def public(self, value: int | None) -> int:
        """See Builder."""
        if len(self._variables) != self._public_count + 1:
            raise WitnessInvalid(reason="public inputs come first")
        self._public_count += 1
        return self.private(value)

    def private(self, value: int | None) -> int:
        """See Builder."""
        wire = self._append(None)
        self._variables.append(wire)
        return wire

    def linear(self, constant: int, *terms: tuple[int, int]) -> int:
        """See Builder."""
        return self._append((int(constant), tuple((int(factor), term) for factor, term in terms)))

    def multiply(self, left: int, right: int) -> int:
        """See Builder."""
        product = self.private(None)
        self._constraints.append((left, right, product))
        return product

    def require(self, left: int, right: int, product: int) -> None:
        """See Builder."""
        self._constraints.append((left, right, product))

    def finish(self) -> Circuit:
        """The circuit, with one more constraint x · 0 = 0 per public input and for the constant one.

        Those make the left columns of the public variables independent, so that no public input can be
        exchanged for another one under the same proof.
        """
        zero = self.linear(0)
        for wire in self._variables[: self._public_count + 1]:
            self.require(wire, zero, zero)
        return Circuit(
            tape=self._tape,
            variables=self._variables,
            public_count=self._public_count,
            constraints=self._constraints,
        )

    def _append(self, operation: tuple[int, Terms] | None) -> int:
        self._tape.append(operation)
        return len(self._tape) - 1
