"""The ways bonds move, as drafts. Pure: nothing here reads or writes a balance.

The end of a bond has one reference whatever the end is, so the ledger itself refuses a second one
(invariant 3).
"""

from collections.abc import Mapping
from uuid import UUID

from apps.ledger.data import AccountKey, TransactionDraft, TransactionKind
from apps.ledger.domain.postings import TREASURY, keeper_bonded, keeper_free
from apps.ledger.errors import PostingInvalid
from apps.speculation.domain.bonds import Shares
from apps.speculation.errors import SharesInvalid


def bond_lock(keeper: str, task_id: UUID, epoch: int, bond_units: int) -> TransactionDraft:
    """Bind a keeper's units to one attempt, once. Raises PostingInvalid for a bond of nothing."""
    reference = f"bond:{task_id.hex}:{epoch}"
    _require_positive(reference, bond_units)
    return TransactionDraft(
        kind=TransactionKind.BOND_LOCK,
        reference=reference,
        postings=((keeper_free(keeper), -bond_units), (keeper_bonded(keeper), bond_units)),
        memo=_memo(task_id, epoch),
    )


def bond_release(keeper: str, task_id: UUID, epoch: int, bond_units: int) -> TransactionDraft:
    """Give a bond back in full. Raises PostingInvalid for a bond of nothing."""
    reference = _end_reference(task_id, epoch)
    _require_positive(reference, bond_units)
    return TransactionDraft(
        kind=TransactionKind.BOND_RELEASE,
        reference=reference,
        postings=((keeper_bonded(keeper), -bond_units), (keeper_free(keeper), bond_units)),
        memo=_memo(task_id, epoch),
    )


def bond_slash(
    keeper: str, task_id: UUID, epoch: int, bond_units: int, shares: Shares, *, reason: str
) -> TransactionDraft:
    """End a bond with a slash: treasury and victims get their shares, the keeper the rest of it.

    A slash of nothing is a release. Raises SharesInvalid, PostingInvalid.
    """
    if not shares.slashed_units:
        return bond_release(keeper, task_id, epoch, bond_units)
    reference = _end_reference(task_id, epoch)
    _require_positive(reference, bond_units)
    _require_shares(keeper, bond_units, shares)
    amounts: dict[AccountKey, int] = {keeper_bonded(keeper): -bond_units}
    _add(amounts, keeper_free(keeper), bond_units - shares.slashed_units)
    _add_shares(amounts, shares)
    return TransactionDraft(
        kind=TransactionKind.BOND_SLASH,
        reference=reference,
        postings=tuple(amounts.items()),
        memo={**_memo(task_id, epoch), "reason": reason, "slashed_units": str(shares.slashed_units)},
    )


def cascade_settle(
    rollback_id: UUID, released: Mapping[str, int], *, slashed_keeper: str = "", shares: Shares | None = None
) -> TransactionDraft | None:
    """End all bonds of one cascade in one movement with one posting per account, however many they are.

    `released` is what goes back by keeper: the victims' bonds and what is left of the root's. None where
    no bond is involved. The commitments' own moves make each bond end once; the reference, the cascade.
    Raises SharesInvalid.
    """
    shares = shares or Shares()
    amounts: dict[AccountKey, int] = {}
    for keeper, units in sorted(released.items()):
        _add(amounts, keeper_bonded(keeper), -units)
        _add(amounts, keeper_free(keeper), units)
    if shares.slashed_units:
        _require_shares(slashed_keeper, shares.slashed_units, shares)
        _add(amounts, keeper_bonded(slashed_keeper), -shares.slashed_units)
        _add_shares(amounts, shares)
    if not amounts:
        return None
    return TransactionDraft(
        kind=TransactionKind.CASCADE_SETTLE,
        reference=f"cascade:{rollback_id.hex}",
        postings=tuple(amounts.items()),
        memo={"rollback_id": rollback_id.hex, "slashed_units": str(shares.slashed_units)},
    )


def _end_reference(task_id: UUID, epoch: int) -> str:
    return f"bond-end:{task_id.hex}:{epoch}"


def _memo(task_id: UUID, epoch: int) -> dict[str, str]:
    return {"task_id": task_id.hex, "epoch": str(epoch)}


def _add(amounts: dict[AccountKey, int], account: AccountKey, units: int) -> None:
    if units:
        amounts[account] = amounts.get(account, 0) + units


def _add_shares(amounts: dict[AccountKey, int], shares: Shares) -> None:
    _add(amounts, TREASURY, shares.treasury_units)
    for victim, units in sorted(shares.victims.items()):
        _add(amounts, keeper_free(victim), units)


def _require_positive(reference: str, units: int) -> None:
    if units <= 0:
        raise PostingInvalid(reference=reference, reason="the amount must be above 0")


def _require_shares(keeper: str, bond_units: int, shares: Shares) -> None:
    parts = (shares.treasury_units, *shares.victims.values())
    if shares.slashed_units > bond_units:
        raise SharesInvalid(reason="more than the bond")
    if min(parts) < 0 or sum(parts) != shares.slashed_units:
        raise SharesInvalid(reason="the shares do not add up to the slash")
    if keeper in shares.victims:
        raise SharesInvalid(reason="the slashed keeper is its own victim")
