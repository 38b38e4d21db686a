"""Whether an attempt stands on what it says: checked the same way by its performer and by every attester.

A step of `spec["awaits"]` names one attempt of a parent: task, epoch, lease and keeper, under the
dispatcher's signature. What shows that it succeeded is that keeper's own signed receipt, whoever brought it:
another attempt's, another keeper's or a failed one is none. What came of it is the output CID it names.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from apps.content.domain.cid import cid_digest
from apps.execution.data import Receipt, receipt_body, receipt_from_json
from apps.kernel.eip712 import TypedDomain, require_signer
from apps.kernel.errors import DomainError
from apps.kernel.hashing import to_hex
from workers.keeper.errors import ParentReceiptForged, ParentReceiptMissing
from workers.keeper.task_spec import MAX_PARENTS, Awaited, TaskSpec

#: more than these are not looked at: every awaited parent twice over
MOST_RECEIPTS: Final = 2 * MAX_PARENTS

_Attempt = tuple[UUID, int, UUID]
_Claim = tuple[Receipt, bytes, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """An awaited attempt that succeeded, what came of it, and the receipt that shows it."""

    awaited: Awaited
    output_cid: str
    output_hash: str
    receipt: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What the child's own result says of it."""
        return {
            "task": self.awaited.task,
            "epoch": self.awaited.epoch,
            "output_cid": self.output_cid,
            "output_hash": self.output_hash,
        }


def require_parents(
    awaits: Mapping[str, Awaited], given: Iterable[Any], *, domain: TypedDomain
) -> tuple[Parent, ...]:
    """Every awaited parent, in the order of `awaits`, found among signed receipt bodies from anywhere.

    Raises ParentReceiptMissing, ParentReceiptForged.
    """
    claims = _read(given) if awaits else {}
    return tuple(_require_parent(each, claims, domain) for each in awaits.values())


def stand_on(spec: TaskSpec, parents: Iterable[Parent]) -> TaskSpec:
    """The specification with the outputs of its awaited data parents among those its script reads."""
    outputs = {parent.awaited.step: parent.output_cid for parent in parents if parent.awaited.is_data}
    return replace(spec, parents={**spec.parents, **outputs})


def parents_to_json(parents: Iterable[Parent]) -> dict[str, Any]:
    """What a result says its task stands on: step → attempt and output."""
    return {parent.awaited.step: parent.to_json() for parent in parents}


def bodies_of(*sources: Any) -> list[Mapping[str, Any]]:
    """What may be receipt bodies among what a message brought, which can be anything."""
    lists = [source for source in sources if isinstance(source, list | tuple)]
    return [body for bodies in lists for body in bodies if isinstance(body, Mapping)]


def _read(given: Iterable[Any]) -> Mapping[_Attempt, Sequence[_Claim]]:
    """The receipts by the attempt they claim to be of; what is no receipt is left out."""
    claims: defaultdict[_Attempt, list[_Claim]] = defaultdict(list)
    for body in bodies_of(list(given))[:MOST_RECEIPTS]:
        try:
            receipt, signature = receipt_from_json(body)
        except DomainError:
            continue
        attempt = (receipt.task_id, receipt.epoch, receipt.lease)
        claims[attempt].append((receipt, signature, receipt_body(body)))
    return claims


def _require_parent(
    awaited: Awaited, claims: Mapping[_Attempt, Sequence[_Claim]], domain: TypedDomain
) -> Parent:
    found = claims.get((awaited.task_id, awaited.epoch, awaited.lease), ())
    if not found:
        raise ParentReceiptMissing(step=awaited.step, reason="none came")
    for receipt, signature, body in found:
        if _is_signed(receipt, signature, awaited.keeper, domain):
            return _require_output(awaited, receipt, body)
    raise ParentReceiptForged(step=awaited.step, reason="not its keeper's")


def _is_signed(receipt: Receipt, signature: bytes, keeper: str, domain: TypedDomain) -> bool:
    try:
        require_signer(receipt.digest(domain), signature, keeper)
    except DomainError:
        return False
    return receipt.keeper == keeper


def _require_output(awaited: Awaited, receipt: Receipt, body: Mapping[str, Any]) -> Parent:
    result = receipt.result
    if result.get("status") != "ok":
        raise ParentReceiptMissing(step=awaited.step, reason="the parent failed")
    output_cid, output_hash = str(result.get("output_cid")), result.get("output_hash")
    try:
        is_sound = output_hash == to_hex(cid_digest(output_cid))
    except DomainError:
        is_sound = False
    if not is_sound:
        raise ParentReceiptForged(step=awaited.step, reason="its hash is not its output's")
    return Parent(awaited=awaited, output_cid=output_cid, output_hash=str(output_hash), receipt=body)
