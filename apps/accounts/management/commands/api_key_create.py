"""`manage.py api_key_create`: issue a key from the operator's shell; its secret goes to stdout, once."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.data import PROJECT_SCOPES
from apps.accounts.models import Project
from apps.accounts.services import api_key_create
from apps.kernel.errors import DomainError
from apps.kernel.ids import to_wire


class Command(BaseCommand):
    """Issue an API key."""

    help = "Issue an API key; the secret is printed once and stored nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        """--project or --operator, --name, --scope (repeated), --json."""
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--project", help="the project's slug")
        owner.add_argument("--operator", action="store_true", help="a key of the operator, of no project")
        parser.add_argument("--name", required=True)
        parser.add_argument("--scope", action="append", help="may be repeated; default: all it can hold")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of the bare secret")

    def handle(self, *args: Any, **options: Any) -> None:
        """Issue it, or say in one line why not."""
        project = Project.objects.filter(slug=options["project"]).first() if options["project"] else None
        if options["project"] and project is None:
            raise CommandError(f"no project has the slug {options['project']!r}")
        scopes = options["scope"] or (["operator"] if options["operator"] else sorted(PROJECT_SCOPES))
        try:
            issued = api_key_create(
                project_id=project.id if project else None, name=options["name"], scopes=scopes
            )
        except DomainError as exc:
            raise CommandError(f"{exc.title}: {exc}") from None
        facts = {"id": to_wire("key", issued.id), "prefix": issued.prefix, "secret": issued.secret}
        self.stdout.write(json.dumps(facts) if options["json"] else issued.secret)
