"""Seal every secret with the SECRET_KEY of now: `manage.py secrets_reseal`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.vault.errors import SecretUnreadable
from apps.vault.services import secrets_reseal


class Command(BaseCommand):
    """After it the old key may leave SECRET_KEY_FALLBACKS, as far as secrets are concerned."""

    help = "Seal every project's secrets with the present SECRET_KEY"

    def handle(self, *args: Any, **options: Any) -> None:
        """Reseal all in one transaction, or none."""
        try:
            self.stdout.write(f"{secrets_reseal()} secrets sealed anew")
        except SecretUnreadable as exc:
            raise CommandError(
                f"{exc.title}: no key in SECRET_KEY or SECRET_KEY_FALLBACKS opens it"
            ) from None
