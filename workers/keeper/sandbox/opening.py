"""Choosing an engine: the first that this machine has and that holds what it promises."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from apps.kernel.errors import DomainError
from workers.keeper.sandbox.bubblewrap import open_bubblewrap
from workers.keeper.sandbox.container import open_docker
from workers.keeper.sandbox.data import Sandbox
from workers.keeper.sandbox.errors import SandboxBroken, SandboxUnavailable
from workers.keeper.sandbox.jailed import JailedSandbox
from workers.keeper.sandbox.landlock import open_landlock
from workers.keeper.sandbox.verifying import verify, verify_deno

_log = logging.getLogger("forekeep.keeper.sandbox")
AUTO: Final = "auto"
ENGINES: Final[Mapping[str, Callable[..., Sandbox]]] = {
    "bubblewrap": open_bubblewrap,
    "landlock": open_landlock,
    "docker": open_docker,
}
#: What `auto` tries, in this order; a container engine is only used where it is asked for.
PREFERRED: Final = ("bubblewrap", "landlock")


def open_sandbox(engine: str = AUTO, *, pool_size: int = 2) -> Sandbox:
    """Open an engine by name, or the best there is, and make it prove that its jail holds.

    Raises SandboxUnavailable with each tried engine's reason.
    """
    names = PREFERRED if engine == AUTO else (engine,)
    reasons: dict[str, str] = {}
    for name in names:
        if name not in ENGINES:
            raise SandboxUnavailable(reasons={name: f"no such engine; there are {', '.join(ENGINES)}"})
        try:
            return _open_verified(name, pool_size)
        except SandboxUnavailable as exc:
            reasons |= exc.reasons
        except (DomainError, OSError) as exc:
            reasons[name] = str(exc)
    raise SandboxUnavailable(reasons=reasons)


def _open_verified(name: str, pool_size: int) -> Sandbox:
    sandbox = ENGINES[name](pool_size=pool_size)
    try:
        verify(sandbox)
        if isinstance(sandbox, JailedSandbox):
            _verify_deno(sandbox)
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def _verify_deno(sandbox: JailedSandbox) -> None:
    """Without a Deno that is held there is still Python."""
    try:
        verify_deno(sandbox)
    except SandboxBroken as exc:
        _log.warning("deno cannot be used", extra={"facts": {"engine": sandbox.name, **exc.fields}})
