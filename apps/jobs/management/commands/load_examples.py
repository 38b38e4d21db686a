"""Store the example scripts and data, and create the example jobs a project does not have yet."""

import json
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import Project
from apps.accounts.selectors import get_projects
from apps.chains.data import Deployment
from apps.chains.deploy import read_deployment
from apps.content.store import ContentStore
from apps.eventlog.selectors import get_database_now
from apps.jobs.domain.instants import format_instant
from apps.jobs.domain.placeholders import bytes32_of, fill_placeholders, selector_of
from apps.jobs.domain.validation import definition_from_json
from apps.jobs.errors import DrillNotAllowed, PlaceholderUnknown
from apps.jobs.models import Job
from apps.jobs.selectors import get_jobs
from apps.jobs.services import job_create
from apps.jobs.terms import get_bounds, get_gas_price_wei, get_prices, get_store
from apps.kernel.errors import DomainError


class Command(BaseCommand):
    """`manage.py load_examples [--project SLUG] [--once] [--soon-seconds N] [--json]`."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options."""
        parser.add_argument("--project", help="slug of the project; needed where there are several")
        parser.add_argument("--folder", type=Path, default=Path(settings.BASE_DIR) / "examples")
        parser.add_argument("--once", action="store_true", help="scheduled jobs fire once and are completed")
        parser.add_argument("--soon-seconds", type=int, default=5, help="when ${soon} is")
        parser.add_argument("--json", action="store_true", help="print the jobs as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing; say what is there."""
        try:
            jobs = self._load(options)
        except DomainError as exc:
            raise CommandError(f"{exc.title}: {exc} {exc.pointer or ''}".strip()) from exc

        if options["json"]:
            lines = [{"id": job.wire_id, "name": job.name, "created": is_new} for job, is_new in jobs]
            self.stdout.write(json.dumps(lines))
            return
        for job, is_new in jobs:
            self.stdout.write(f"{'created' if is_new else 'kept   '}  {job.wire_id}  {job.name}")

    def _load(self, options: dict[str, Any]) -> list[tuple[Job, bool]]:
        project, folder, store = _project(options["project"]), options["folder"], get_store()
        deployment = read_deployment(Path(settings.FOREKEEP.chain.deployment_file))
        soon = get_database_now().replace(microsecond=0) + timedelta(seconds=options["soon_seconds"])
        present = {job.name: job for job in get_jobs(frozenset({project.id}))}

        jobs: list[tuple[Job, bool]] = []
        for file in sorted(folder.glob("*/*.json")):
            for raw in _raw_bodies(file):
                job = present.get(raw["name"])
                if job is not None:
                    jobs.append((job, False))
                    continue
                body = _fill(raw, file.parent, folder / "data", deployment, store, format_instant(soon))
                if options["once"] and body["trigger_kind"] == "time":
                    body["recurring"] = False
                try:
                    jobs.append((_create(project, body, store), True))
                except DrillNotAllowed:
                    self.stderr.write(
                        f"left out  {body['name']}: the project {project.slug} allows no drills"
                    )
        return jobs


def _project(slug: str | None) -> Project:
    projects = list(get_projects(None).filter(**({"slug": slug} if slug else {}))[:2])
    if not projects:
        raise CommandError(f"there is no project {slug or 'yet'}")
    if len(projects) > 1:
        raise CommandError("there are several projects; name one with --project")
    return projects[0]


def _raw_bodies(file: Path) -> list[dict[str, Any]]:
    """The jobs of one file: itself, or one per member of `variants`, laid over the rest."""
    body = json.loads(file.read_text(encoding="utf-8"))
    variants = body.pop("variants", [{}])
    return [{**body, **variant} for variant in variants]


def _fill(
    raw: dict[str, Any], scripts: Path, data: Path, deployment: Deployment, store: ContentStore, soon: str
) -> dict[str, Any]:
    def put(path: Path) -> str:
        if not path.is_file():
            raise PlaceholderUnknown(name=path.name, reason="no such file", folder=str(path.parent))
        return store.put(path.read_bytes())

    lookups = {
        "price_board": lambda _: deployment.price_board,
        "alarm_board": lambda _: deployment.alarm_board,
        "chain_id": lambda _: deployment.chain_id,
        "soon": lambda _: soon,
        "input": lambda name: put(data / name),
        "script": lambda name: put(scripts / name),
        "bytes32": bytes32_of,
        "selector": selector_of,
    }
    found: dict[str, Any] = fill_placeholders(raw, lookups)
    return found


def _create(project: Project, body: dict[str, Any], store: ContentStore) -> Job:
    return job_create(
        project_id=project.id,
        definition=definition_from_json(body, get_bounds()),
        store=store,
        prices=get_prices(),
        gas_price_wei=get_gas_price_wei(),
        created_by="command:load_examples",
    )
