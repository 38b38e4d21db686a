"""Crediting what was paid in: the escrow contract's deposits become their projects' balances, each once.

A deposit's reference in the books is its place on the chain, so reading a block twice credits nothing
twice; how far the chain has been read only saves asking for all of it again.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from apps.accounts.models import Project
from apps.chains.client import ChainClient
from apps.chains.data import Deployment, HubEvent
from apps.chains.models import EscrowState
from apps.chains.registry import get_deposits
from apps.chains.selectors import get_deployment, open_client
from apps.eventlog.locking import lock_rows
from apps.kernel.amounts import WEI_PER_UNIT
from apps.ledger.data import TransactionDraft
from apps.ledger.domain.postings import deposit_project
from apps.ledger.services import transactions_post

_log = structlog.get_logger("forekeep.chains")

#: Many nodes answer for no more blocks than this at once.
_BLOCKS: Final = 2_000
_UUID_BITS: Final = 128


def deposits_credit(
    *, confirmations: int | None = None, from_start: bool = False, client: ChainClient | None = None
) -> int:
    """Credit the deposits from the last block looked at on; return how many are new.

    Only blocks that `confirmations` others follow (the setting's number where None) are read. `from_start`
    reads from the deployment's first block again. Raises DeploymentMissing, ChainUnreachable.
    """
    deployment, client = get_deployment(), client or open_client()
    client.require_chain(deployment.chain_id)
    depth = settings.FOREKEEP.chain.confirmations if confirmations is None else confirmations
    head = client.get_head().number
    last = head - depth
    start = deployment.block if from_start else _get_next_block(deployment, head)
    credited = 0
    for first in range(start, last + 1, _BLOCKS):
        until = min(first + _BLOCKS - 1, last)
        events = get_deposits(client, deployment, from_block=first, to_block=until)
        with transaction.atomic():
            credited += transactions_post(_drafts(deployment, events))
            _set_next_block(deployment, until + 1)
    return credited


def _get_next_block(deployment: Deployment, head: int) -> int:
    """Where to go on; from the start on a chain that is shorter than it was (restored, begun anew)."""
    state = EscrowState.objects.filter(chain_id=deployment.chain_id, address=deployment.escrow).first()
    if state is None or state.next_block > head + 1:
        return deployment.block
    return state.next_block


def _set_next_block(deployment: Deployment, number: int) -> None:
    place = {"chain_id": deployment.chain_id, "address": deployment.escrow}
    EscrowState.objects.bulk_create([EscrowState(**place, next_block=number)], ignore_conflicts=True)
    for state in lock_rows(EscrowState.objects.filter(**place), skip_locked=False):
        state.next_block = number
        state.save(update_fields=["next_block"])


def _drafts(deployment: Deployment, events: Iterable[HubEvent]) -> list[TransactionDraft]:
    """The bookings of the deposits that name a project and come to a unit at least; others are logged."""
    found = [(event, int.from_bytes(event.arguments["project"])) for event in events]
    known = {
        project.int: project
        for project in Project.objects.filter(
            pk__in={UUID(int=word) for _, word in found if word < 1 << _UUID_BITS}
        ).values_list("pk", flat=True)
    }
    drafts: list[TransactionDraft] = []
    for event, word in found:
        units = event.arguments["amount"] // WEI_PER_UNIT
        if word not in known or not units:
            _log.warning("chain.deposit_unknown", tx_hash=event.tx_hash, project=f"{word:#x}", units=units)
            continue
        reference = f"chain:{deployment.chain_id}:{event.tx_hash}:{event.index}"
        drafts.append(deposit_project(known[word], units, reference))
    return drafts
