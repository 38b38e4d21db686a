"""`manage.py check_invariants`: verify the numbered invariants on live data."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from apps.progress.invariants import find_violations


class Command(BaseCommand):
    """Exit 0 and one line when all hold; exit 1 naming number and rows otherwise."""

    help = "Verify the numbered invariants on live data in set queries."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print each violation on a line of its own."""
        violations = find_violations()
        for violation in violations:
            self.stdout.write(f"invariant {violation.invariant}: {violation.reason} ({violation.where})")
        if violations:
            sys.exit(1)
        self.stdout.write("all invariants hold")
