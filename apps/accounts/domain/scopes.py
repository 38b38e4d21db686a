"""Who may do what: a role's scopes, and what a new key may hold."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from apps.accounts.data import PROJECT_SCOPES, Role, Scope
from apps.accounts.errors import KeyInvalid, ScopesExceeded, ScopeUnknown

_READ: Final = frozenset(scope for scope in PROJECT_SCOPES if scope.value.endswith(":read"))
_ROLE_SCOPES: Final[Mapping[Role, frozenset[Scope]]] = MappingProxyType(
    {
        Role.OWNER: PROJECT_SCOPES,
        Role.MEMBER: (_READ - {Scope.KEYS_READ})
        | {
            Scope.JOBS_WRITE,
            Scope.RUNS_WRITE,
            Scope.CONTENT_WRITE,
            Scope.SECRETS_WRITE,
            Scope.WEBHOOKS_WRITE,
        },
        Role.VIEWER: _READ - {Scope.KEYS_READ},
    }
)


def get_role_scopes(role: Role) -> frozenset[Scope]:
    """What a person in this role may do in the project."""
    return _ROLE_SCOPES[role]


def parse_scopes(texts: Iterable[str]) -> frozenset[Scope]:
    """The scopes named; raise ScopeUnknown for the first that does not exist, KeyInvalid for none."""
    found: set[Scope] = set()
    for index, text in enumerate(texts):
        try:
            found.add(Scope(text))
        except ValueError:
            raise ScopeUnknown(pointer=f"/scopes/{index}", scope=str(text)[:80]) from None
    if not found:
        raise KeyInvalid(pointer="/scopes", reason="a key needs at least one scope")
    return frozenset(found)


def has_scope(held: frozenset[Scope], needed: Scope) -> bool:
    """Whether a holder of `held` may do what `needed` names; the operator may do everything."""
    return needed in held or Scope.OPERATOR in held


def require_within(wanted: frozenset[Scope], held: frozenset[Scope]) -> None:
    """Raise ScopesExceeded unless every wanted scope is covered by the held ones."""
    beyond = sorted(scope.value for scope in wanted if not has_scope(held, scope))
    if beyond:
        raise ScopesExceeded(pointer="/scopes", scopes=beyond)
