"""Who is behind the events of this request, message or command: user and ip for the metadata."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

_NOBODY: Mapping[str, str] = MappingProxyType({})
_current: ContextVar[Mapping[str, str]] = ContextVar("forekeep_actor", default=_NOBODY)


def current_actor() -> Mapping[str, str]:
    """`{"user": …, "ip": …}` as far as known; empty for the machinery itself."""
    return _current.get()


def set_current_actor(*, user: str | None = None, ip: str | None = None) -> None:
    """Bind the actor of the request that starts here; no arguments forget it."""
    facts = {name: value for name, value in (("user", user), ("ip", ip)) if value}
    _current.set(MappingProxyType(facts))
