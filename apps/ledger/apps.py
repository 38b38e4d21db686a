"""The double-entry ledger's Django app."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Accounts, transactions and postings in integer units; written only by `apps.ledger.services`."""

    name = "apps.ledger"
    label = "ledger"
    verbose_name = "Ledger"
    default_auto_field = "django.db.models.BigAutoField"
