"""Who is calling, and the values of an idempotent answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.accounts.data import KeyIdentity, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The authenticated caller of one request: an API key, or a person with a session.

    `by_project` holds what may be done in which project; `everywhere` what may be done in all of them
    (an operator's scopes, those of an operator's key).
    """

    id: str
    name: str
    by_project: Mapping[UUID, frozenset[Scope]] = field(default_factory=dict)
    everywhere: frozenset[Scope] = frozenset()
    rate_limit_per_minute: int
    user: Any = None
    key: KeyIdentity | None = None

    @property
    def is_authenticated(self) -> bool:
        """Always: an unknown caller is no Caller."""
        return True

    @property
    def is_operator(self) -> bool:
        """Whether everything is allowed everywhere."""
        return Scope.OPERATOR in self.everywhere

    @property
    def scopes(self) -> frozenset[Scope]:
        """Everything the caller may do somewhere."""
        return self.everywhere.union(*self.by_project.values())

    @property
    def project_ids(self) -> frozenset[UUID] | None:
        """The projects the caller belongs to; None means all of them."""
        return None if self.everywhere else frozenset(self.by_project)

    def is_allowed(self, scope: Scope) -> bool:
        """Whether the scope is held for at least one project."""
        return self.is_operator or scope in self.scopes

    def projects_with(self, scope: Scope) -> frozenset[UUID] | None:
        """The projects in which the scope is held; None means all of them."""
        if self.is_operator or scope in self.everywhere:
            return None
        return frozenset(project for project, held in self.by_project.items() if scope in held)

    def scopes_in(self, project_id: UUID | None) -> frozenset[Scope]:
        """What the caller may do in one project, or outside of any where None."""
        held = self.by_project.get(project_id, frozenset()) if project_id else frozenset()
        return held | self.everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRequest:
    """One request under an idempotency key."""

    caller: str
    key: str
    body_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """What was answered and is answered again."""

    status: int
    body: str
    location: str = ""
    etag: str = ""
