"""The statement that is proved of a task, computed by its performer and again by every attester."""

import os
from collections.abc import Mapping
from typing import Any

from apps.execution.data import Assignment
from apps.kernel.errors import DomainError
from apps.kernel.hashing import to_hex
from apps.proofs.domain.statement import compute_statement
from apps.proofs.domain.task_witness import build_witness, draw_salt
from workers.keeper.errors import StatementImpossible


def salt_new() -> str:
    """A fresh salt, as a result carries it."""
    return to_hex(draw_salt(os.urandom(48)))


def compute_public_input(assignment: Assignment, result: Mapping[str, Any]) -> str:
    """The statement of a result with its salt, as `0x` and 32 bytes; raises StatementImpossible.

    The specification must have been read (`read_spec`) and must ask for a proof. The result may be anything.
    """
    try:
        witness = build_witness(task_id=assignment.task_id.int, spec=assignment.spec, result=result)
        return to_hex(compute_statement(witness).public_input.to_bytes(32))
    except DomainError as exc:
        raise StatementImpossible(reason=str(exc)[:200]) from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise StatementImpossible(reason=repr(exc)[:200]) from None
