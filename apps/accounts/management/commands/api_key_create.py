"""`manage.py api_key_create`: issue a key from the operator's shell; its secret goes to stdout, once."""

import json
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.data import PROJECT_SCOPES, Scope
from apps.accounts.errors import ScopeUnknown
from apps.accounts.models import Project
from apps.accounts.services import api_key_create
from apps.kernel.errors import DomainError
from apps.kernel.ids import to_wire

_SCOPES: Final = (
    "may be repeated; default: all it can hold. For a project: "
    f"{', '.join(sorted(PROJECT_SCOPES))}; for the operator: operator"
)


class Command(BaseCommand):
    """Issue an API key."""

    help = "Issue an API key; the secret is printed once and stored nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        """--project or --operator, --name, --scope (repeated), --json."""
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--project", help="the project's slug")
        owner.add_argument("--operator", action="store_true", help="a key of the operator, of no project")
        parser.add_argument("--name", required=True)
        parser.add_argument("--scope", action="append", help=_SCOPES)
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
            said = "; ".join(f"{name} {value}" for name, value in exc.fields.items())
            hint = f" Known: {', '.join(sorted(Scope))}." if isinstance(exc, ScopeUnknown) else ""
            raise CommandError(f"{exc.title}: {said}.{hint}") from None
        facts = {"id": to_wire("key", issued.id), "prefix": issued.prefix, "secret": issued.secret}
        self.stdout.write(json.dumps(facts) if options["json"] else issued.secret)
