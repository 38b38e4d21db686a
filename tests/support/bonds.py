"""Invariant 2, asked of rows: what a keeper has bonded is what its open commitments say."""

from django.db.models import Sum

from apps.ledger.data import AccountKind
from apps.ledger.models import Account
from apps.speculation.models import OPEN_COMMITMENTS, Commitment


def find_bond_faults() -> list[str]:
    """Keepers whose bonded account is not the sum of their open commitments' bonds."""
    rows = Commitment.objects.filter(status__in=OPEN_COMMITMENTS).values_list("producer_id")
    held = dict(rows.annotate(units=Sum("bond_units")).order_by())
    accounts = Account.objects.filter(kind=AccountKind.KEEPER_BONDED)
    bonded = {account.owner: account.balance_units for account in accounts if account.balance_units}
    held = {keeper: units for keeper, units in held.items() if units}
    keepers = bonded.keys() | held.keys()
    return [
        f"{keeper}: {bonded.get(keeper, 0)} bonded, {held.get(keeper, 0)} open"
        for keeper in sorted(keepers)
        if bonded.get(keeper, 0) != held.get(keeper, 0)
    ]
