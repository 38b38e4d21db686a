"""`manage.py seed_embedded`: the first things of an embedded deployment; again changes nothing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.kernel.errors import DomainError
from project.embedded.seed import seed


class Command(BaseCommand):
    """Admin, project with money, API key, keepers, example jobs."""

    help = "Create what a fresh embedded deployment starts with; what exists stays as it is."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed, saying what was made."""
        try:
            seed(self.stdout.write)
        except DomainError as exc:
            raise CommandError(f"{exc.title}: {exc}") from exc
