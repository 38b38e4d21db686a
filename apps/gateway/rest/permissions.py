"""Scopes as permissions: `permission_classes = [scope("jobs:write")]`."""

from functools import cache
from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.accounts.data import Scope
from apps.gateway.errors import ScopeMissing
from apps.gateway.rest.authentication import caller_of


class ScopePermission(BasePermission):
    """Needs one scope for reading and one for changing. Built by `scope` and `scopes`."""

    read: Scope
    write: Scope

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or Unauthenticated (401) or ScopeMissing (403)."""
        needed = self.read if request.method in ("GET", "HEAD", "OPTIONS") else self.write
        if not caller_of(request).is_allowed(needed):
            raise ScopeMissing(needed=needed.value)
        request._request.needed_scope = needed  # type: ignore[attr-defined]
        return True


@cache
def scopes(read: str, write: str) -> type[ScopePermission]:
    """A permission class that needs `read` for GET and HEAD, `write` for everything else."""
    facts = {"read": Scope(read), "write": Scope(write), "__doc__": f"Needs {read} or {write}."}
    return type("ScopePermission", (ScopePermission,), facts)


def scope(name: str) -> type[ScopePermission]:
    """A permission class that needs one scope whatever the method."""
    return scopes(name, name)


#: What a view needs that names no scope of its own.
OperatorOnly = scope("operator")


def needed_scope(request: Any) -> Scope:
    """The scope the request was let in by; the operator's where its view asks for none."""
    return getattr(getattr(request, "_request", request), "needed_scope", Scope.OPERATOR)
