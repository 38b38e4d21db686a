"""The ways money moves, as drafts. Pure: nothing here reads or writes a balance.

A reference is derived from what the movement stands for, so doing it again is a no-op.
"""

from collections.abc import Mapping
from uuid import UUID

from apps.ledger.data import AccountKey, AccountKind, TransactionDraft, TransactionKind
from apps.ledger.errors import PostingInvalid

DEPOSITS = AccountKey(kind=AccountKind.DEPOSITS)
TREASURY = AccountKey(kind=AccountKind.TREASURY)
FEES = AccountKey(kind=AccountKind.FEES)
WITHDRAWN = AccountKey(kind=AccountKind.WITHDRAWN)


def keeper_free(address: str) -> AccountKey:
    """The free account of a keeper (`0x…`, any case)."""
    return AccountKey(kind=AccountKind.KEEPER_FREE, owner=address.lower())


def keeper_bonded(address: str) -> AccountKey:
    """The bonded account of a keeper (`0x…`, any case)."""
    return AccountKey(kind=AccountKind.KEEPER_BONDED, owner=address.lower())


def project_prepaid(project_id: UUID) -> AccountKey:
    """What a project has to spend."""
    return AccountKey(kind=AccountKind.PROJECT_PREPAID, owner=project_id.hex)


def project_escrow(project_id: UUID) -> AccountKey:
    """What is held for a project's runs."""
    return AccountKey(kind=AccountKind.PROJECT_ESCROW, owner=project_id.hex)


def deposit_project(project_id: UUID, amount_units: int, chain_reference: str) -> TransactionDraft:
    """A project's deposit; `chain_reference` names the log it was seen in (chain, tx hash, log index)."""
    return _move(
        TransactionKind.PROJECT_DEPOSIT,
        f"deposit:{chain_reference}",
        DEPOSITS,
        project_prepaid(project_id),
        amount_units,
        {"chain_reference": chain_reference},
    )


def deposit_keeper_stake(address: str, amount_units: int, chain_reference: str) -> TransactionDraft:
    """A keeper's stake; `chain_reference` names the log (or the read) it was seen in."""
    return _move(
        TransactionKind.KEEPER_DEPOSIT,
        f"deposit:{chain_reference}",
        DEPOSITS,
        keeper_free(address),
        amount_units,
        {"chain_reference": chain_reference},
    )


def escrow_hold(project_id: UUID, run_id: UUID, amount_units: int, *, part: str = "") -> TransactionDraft:
    """Set a run's estimated cost aside: once per run, or once per named part of its life (its reopenings)."""
    return _move(
        TransactionKind.ESCROW_HOLD,
        f"hold:{run_id.hex}:{part}" if part else f"hold:{run_id.hex}",
        project_prepaid(project_id),
        project_escrow(project_id),
        amount_units,
        {"run_id": run_id.hex},
    )


def escrow_release(project_id: UUID, run_id: UUID, amount_units: int, *, part: str = "") -> TransactionDraft:
    """Give back what a run did not use: once per run, or once per named part of it."""
    return _move(
        TransactionKind.ESCROW_RELEASE,
        f"release:{run_id.hex}:{part}" if part else f"release:{run_id.hex}",
        project_escrow(project_id),
        project_prepaid(project_id),
        amount_units,
        {"run_id": run_id.hex},
    )


def escrow_settle(
    project_id: UUID,
    task_id: UUID,
    total_units: int,
    *,
    performer: str,
    performer_units: int,
    attester_units: Mapping[str, int] | None = None,
    treasury_units: int = 0,
    run_id: UUID | None = None,
) -> TransactionDraft:
    """Pay a confirmed task from escrow, once per task.

    The performer and each attester (address → units) are paid into their free accounts, the treasury gets
    its share, and the rest of `total_units` is the network's fee. Raises PostingInvalid where the shares
    are negative or more than the total.
    """
    reference = f"settle:{task_id.hex}"
    shares = [
        (keeper_free(performer), performer_units),
        *((keeper_free(address), units) for address, units in (attester_units or {}).items()),
        (TREASURY, treasury_units),
    ]
    fee_units = total_units - sum(units for _, units in shares)
    if fee_units < 0 or any(units < 0 for _, units in shares):
        raise PostingInvalid(reference=reference, reason="the shares are negative or more than the total")
    return TransactionDraft(
        kind=TransactionKind.ESCROW_SETTLE,
        reference=reference,
        postings=tuple(
            (account, units)
            for account, units in ((project_escrow(project_id), -total_units), *shares, (FEES, fee_units))
            if units
        ),
        memo={"task_id": task_id.hex} | ({} if run_id is None else {"run_id": run_id.hex}),
    )


def _move(
    kind: TransactionKind,
    reference: str,
    source: AccountKey,
    target: AccountKey,
    amount_units: int,
    memo: Mapping[str, str],
) -> TransactionDraft:
    if amount_units <= 0:
        raise PostingInvalid(reference=reference, reason="the amount must be above 0")
    return TransactionDraft(
        kind=kind,
        reference=reference,
        postings=((source, -amount_units), (target, amount_units)),
        memo=memo,
    )
