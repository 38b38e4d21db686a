#!/usr/bin/env python
"""The operator's command line."""

import os
import sys

from django.core.management import execute_from_command_line

from project.env import settings_or_exit


def main() -> None:
    """Check the settings, then run one Django command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    settings_or_exit()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
