"""What a fresh embedded deployment starts with: an admin, a project with money, a key, keepers, jobs.

Each step looks first and does only what is missing, so that a second start changes nothing. Money comes
from where it always comes from: deposits seen on the chain.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command

from apps.accounts.data import PROJECT_SCOPES
from apps.accounts.models import Project
from apps.accounts.services import api_key_create, project_create
from apps.chains.deposits import deposits_credit
from apps.chains.selectors import get_deployment
from apps.keepers.data import Registration
from apps.keepers.models import Keeper
from apps.keepers.ports import get_ports
from apps.keepers.services import keeper_register
from apps.kernel import bls
from apps.kernel.eip712 import sign
from apps.ledger.domain.postings import deposit_keeper_stake
from apps.ledger.services import transactions_post
from project.embedded.home import API_KEY_FILE, read_home_env, write_secret
from workers.keeper.config import VERSION
from workers.keeper.keystore import Identity, load_keystore

PROJECT_SLUG: Final = "demo"
ADMIN_NAME: Final = "admin"

Say = Callable[[str], Any]


def seed(say: Say) -> None:
    """Create what is missing and name it; raises DomainError where the chain does not answer."""
    admin = _ensure_admin(say)
    project = _ensure_project(admin, say)
    _ensure_api_key(project, say)
    call_command("make_keystores")
    call_command("chain_setup", project=[project.wire_id])
    call_command("proofs_setup")
    _register_keepers(say)
    _credit_stakes(say)
    credited = deposits_credit(confirmations=0, from_start=True)
    if credited:
        say(f"{credited} deposits credited")
    examples_load(project, say)


def _ensure_admin(say: Say) -> Any:
    users = get_user_model().objects
    admin = users.filter(username=ADMIN_NAME).first()
    if admin is None:
        password = read_home_env(settings.FOREKEEP.home).get("ADMIN_PASSWORD") or secrets.token_urlsafe(15)
        admin = users.create_superuser(username=ADMIN_NAME, email="", password=password)
        say(f"user {ADMIN_NAME} created")
    return admin


def _ensure_project(admin: Any, say: Say) -> Project:
    """It may drill: its keepers are the operator's own."""
    project = Project.objects.filter(slug=PROJECT_SLUG).first()
    if project is None:
        project = project_create(name="Demo", slug=PROJECT_SLUG, owner=admin, allows_drills=True)
        say(f"project {project.wire_id} ({PROJECT_SLUG}) created")
    return project


def _ensure_api_key(project: Project, say: Say) -> None:
    """A key whose file is gone is of no use to anybody: another one is issued."""
    path = settings.FOREKEEP.home / API_KEY_FILE
    if path.exists():
        return
    issued = api_key_create(project_id=project.id, name="make up", scopes=sorted(PROJECT_SCOPES))
    write_secret(path, issued.secret + "\n")
    say(f"API key fk_{issued.prefix}_… written to {path}")


def _register_keepers(say: Say) -> None:
    """Each local keystore's keeper joins by its own signed message, as one from outside would."""
    known = set(Keeper.objects.values_list("address", flat=True))
    ports = get_ports()
    for path in _keystores():
        identity = load_keystore(path)
        if identity.address in known:
            continue
        registration = _registration(identity, f"keeper-{path.parent.name}")
        keeper_register(
            registration,
            sign(identity.key, registration.digest(ports.domain)),
            domain=ports.domain,
            registry=ports.registry,
            min_stake_units=settings.FOREKEEP.keepers.min_stake_units,
            window_seconds=settings.FOREKEEP.keepers.timestamp_window_seconds,
        )
        say(f"{registration.name} {identity.address} registered")


def _credit_stakes(say: Say) -> None:
    """Credit what the keepers have at stake; each once."""
    deployment = get_deployment()
    stakes = [
        deposit_keeper_stake(
            keeper.address,
            keeper.stake_units,
            f"chain:{deployment.chain_id}:stake:{deployment.registry}:{keeper.address}",
        )
        for keeper in Keeper.objects.filter(stake_units__gt=0)
    ]
    credited = transactions_post(stakes)
    if credited:
        say(f"{credited} stakes credited")


def examples_load(project: Project, say: Say) -> None:
    """Into the seeded project, whichever others there are; without examples everything else still works."""
    try:
        call_command("load_examples", project=project.slug)
    except Exception as exc:
        say(f"the example jobs could not be loaded: {exc}")


def _keystores() -> list[Path]:
    found = settings.FOREKEEP.home.glob("keepers/*/keystore.json")
    return sorted(found, key=lambda path: path.parent.name.zfill(8))


def _registration(identity: Identity, name: str) -> Registration:
    microseconds = time.time_ns() // 1_000
    return Registration(
        keeper=identity.address,
        bls_public_key=identity.bls_public_key,
        possession=bls.prove_possession(identity.bls_secret, identity.address),
        name=name,
        version=VERSION,
        capabilities=tuple(sorted(("python", f"chain:{get_deployment().chain_id}"))),
        contact={},
        nonce=microseconds,
        timestamp=microseconds // 1_000_000,
    )
