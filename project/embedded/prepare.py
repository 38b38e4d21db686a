"""Prepares an embedded deployment's data in one process: schema, keys, contracts, first things.

Run as `python -m project.embedded.prepare` once Redis and the chain answer. Every step does nothing
where its work is done, so a second start costs little more than loading Django.
"""

import os

import django
from django.core.management import call_command

from project.env import settings_or_exit
from project.metrics import metrics_forget


def main() -> None:
    """Run the set-up commands in their order."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    settings_or_exit()
    django.setup()
    metrics_forget()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("seed_embedded")


if __name__ == "__main__":
    main()
