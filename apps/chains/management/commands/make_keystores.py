"""Create the key files of a deployment: five keepers, the dispatcher, two submitters."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.chains.keys import ensure_account, ensure_keystore

_KEEPERS = 5
_SUBMITTERS = 2


class Command(BaseCommand):
    """`manage.py make_keystores`: creates what is missing under FOREKEEP_HOME, touches nothing else."""

    help = "Create missing key files (0600): keepers, dispatcher, submitters."

    def add_arguments(self, parser: CommandParser) -> None:
        """How many keepers."""
        parser.add_argument("--keepers", type=int, default=_KEEPERS, help="how many keepers (default 5)")

    def handle(self, *args: Any, keepers: int = _KEEPERS, **options: Any) -> None:
        """Create them and print the addresses."""
        home, chain = settings.FOREKEEP.home, settings.FOREKEEP.chain
        for number in range(1, keepers + 1):
            keys = ensure_keystore(home / "keepers" / str(number) / "keystore.json")
            self.stdout.write(f"keeper {number}: {keys.address}")
        self.stdout.write(f"dispatcher: {ensure_account(chain.dispatcher_key_file).address}")
        default = [home / "keys" / f"submitter-{number}.json" for number in range(1, _SUBMITTERS + 1)]
        for path in dict.fromkeys([*default, *chain.submitter_key_files]):
            self.stdout.write(f"{path.stem}: {ensure_account(path).address}")
