"""Who is calling: an API key in a header, or a logged-in person's session.

`request.caller` (and `caller_of(request)`) is the `Caller` of the request from here on, and the events
it causes name it as their actor.
"""

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from apps.accounts.data import KeyIdentity, Scope
from apps.accounts.errors import Unauthenticated
from apps.accounts.selectors import get_member_scopes
from apps.accounts.services import authenticate
from apps.eventlog.domain.actor import set_current_actor
from apps.gateway.data import Caller
from apps.gateway.errors import SessionRefused

_BEARER: Final = "bearer"


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer fk_…` or `X-API-Key: fk_…`."""

    def authenticate(self, request: Request) -> tuple[Caller, KeyIdentity] | None:
        """The key's caller; None where no key was sent; raises Unauthenticated for a bad one."""
        secret = _read_secret(request)
        if secret is None:
            return None
        identity = authenticate(secret, now=timezone.now())
        caller = _caller_of_key(identity)
        _bind(request, caller)
        return caller, identity

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says in WWW-Authenticate."""
        return 'Bearer realm="forekeep"'


class SessionCaller(BaseAuthentication):
    """The session of a logged-in person; what it changes needs the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        """The person's caller; None without a session; raises SessionRefused without the token."""
        user = getattr(request._request, "user", None)
        if user is None or not user.is_authenticated or not user.is_active or isinstance(user, Caller):
            return None
        _require_csrf(request)
        caller = caller_of_user(user)
        _bind(request, caller)
        return caller, None


def caller_of(request: Any) -> Caller:
    """The authenticated caller; raises Unauthenticated where there is none."""
    user = request.user
    if not isinstance(user, Caller):
        raise Unauthenticated()
    return user


def caller_of_user(user: Any) -> Caller:
    """The caller a logged-in person is: an operator where superuser, else what their memberships allow."""
    return Caller(
        id=f"user:{user.pk}",
        name=user.get_username(),
        by_project=get_member_scopes(user.pk),
        everywhere=frozenset({Scope.OPERATOR}) if user.is_superuser else frozenset(),
        rate_limit_per_minute=settings.FOREKEEP.web.rate_limit_per_minute,
        user=user,
    )


def _read_secret(request: Request) -> str | None:
    header = request.headers.get("Authorization", "")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == _BEARER:
        return value.strip()
    if header:
        raise Unauthenticated()
    return request.headers.get("X-API-Key")


def _caller_of_key(identity: KeyIdentity) -> Caller:
    is_of_project = identity.project_id is not None
    return Caller(
        id=f"key:{identity.id.hex}",
        name=f"fk_{identity.prefix}",
        by_project={identity.project_id: identity.scopes} if identity.project_id else {},
        everywhere=frozenset() if is_of_project else identity.scopes,
        rate_limit_per_minute=identity.rate_limit_per_minute,
        key=identity,
    )


def _bind(request: Request, caller: Caller) -> None:
    request._request.caller = caller  # type: ignore[attr-defined]
    set_current_actor(user=caller.name, ip=request.META.get("REMOTE_ADDR"))


def _require_csrf(request: Request) -> None:
    """The check Django's middleware makes, made here because DRF exempts its views from it."""
    check = CSRFCheck(_no_view)
    check.process_request(request._request)
    if check.process_view(request._request, _no_view, (), {}):
        raise SessionRefused()


def _no_view(request: HttpRequest) -> HttpResponse:
    """What the check is told the view is: one that is exempt from nothing."""
    return HttpResponse()
