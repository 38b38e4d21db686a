"""The values accounts speaks in: scopes, roles, an authenticated key, a freshly issued one."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

#: The longest name of a project or key, and the longest slug, in characters.
NAME_MAX: Final = 120
SLUG_MAX: Final = 64


class Scope(StrEnum):
    """What a caller may do; `operator` is the whole deployment, the others one project."""

    #: See jobs and previews.
    JOBS_READ = "jobs:read"
    #: Create, change, pause and fire jobs.
    JOBS_WRITE = "jobs:write"
    #: See runs.
    RUNS_READ = "runs:read"
    #: Start and cancel runs.
    RUNS_WRITE = "runs:write"
    #: See tasks, their assignments and verdicts.
    TASKS_READ = "tasks:read"
    #: See keepers.
    KEEPERS_READ = "keepers:read"
    #: Change keepers.
    KEEPERS_WRITE = "keepers:write"
    #: Read the event store.
    EVENTS_READ = "events:read"
    #: See projects.
    PROJECTS_READ = "projects:read"
    #: Change projects.
    PROJECTS_WRITE = "projects:write"
    #: See keys (never their secrets).
    KEYS_READ = "keys:read"
    #: Issue and revoke keys.
    KEYS_WRITE = "keys:write"
    #: Read content by CID.
    CONTENT_READ = "content:read"
    #: Store content.
    CONTENT_WRITE = "content:write"
    #: See the names of secrets (never a value).
    SECRETS_READ = "secrets:read"
    #: Put and delete secrets.
    SECRETS_WRITE = "secrets:write"
    #: See webhooks, their deliveries and alert targets (never a secret of theirs).
    WEBHOOKS_READ = "webhooks:read"
    #: Change webhooks and alert targets, send deliveries again.
    WEBHOOKS_WRITE = "webhooks:write"
    #: Everything, in every project.
    OPERATOR = "operator"


#: Everything a key or a member of one project can hold: all but what is the operator's.
PROJECT_SCOPES: Final = frozenset(Scope) - {Scope.OPERATOR, Scope.KEEPERS_WRITE}


class Role(StrEnum):
    """What a person is in a project."""

    #: All of it, members included.
    OWNER = "owner"
    #: Jobs and runs, no keys and no members.
    MEMBER = "member"
    #: Looks only.
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyIdentity:
    """An API key that authenticated: who it is and what it may do; the secret is not in here."""

    id: UUID
    name: str
    prefix: str
    project_id: UUID | None
    scopes: frozenset[Scope]
    rate_limit_per_minute: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key just created. `secret` is the whole `fk_…` text; it exists nowhere else from now on."""

    id: UUID
    prefix: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyText:
    """The three parts of a new key's text, and what is stored of it."""

    prefix: str
    sha256: str
    secret: str = field(repr=False)
