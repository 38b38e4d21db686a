"""Which loopback port each server listens on: the preferred one, else the next that is free.

A port chosen once is kept for the next start while it is still free, so that bookmarks stay good.
"""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from apps.kernel.errors import Conflict

HOST: Final = "127.0.0.1"
PREFERRED_PORTS: Final[Mapping[str, int]] = {
    "web": 8000,
    "flower": 5555,
    "redis": 6390,
    "chain": 8545,
}
_LAST_PORT: Final = 65_535


class NoFreePort(Conflict):
    """Every port from the preferred one upwards is taken: name, preferred."""

    code = "no_free_port"
    title = "No port is free"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortPlan:
    """The chosen ports by name, and one sentence for each that could not be had."""

    ports: Mapping[str, int]
    notes: tuple[str, ...]


def is_port_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_ports(
    preferred: Mapping[str, int],
    remembered: Mapping[str, int],
    is_free: Callable[[int], bool] = is_port_free,
) -> PortPlan:
    """Choose a port per name: the remembered one while free, else the preferred or the next free one.

    Raises NoFreePort where none is left.
    """
    ports: dict[str, int] = {}
    notes: list[str] = []
    for name, wanted in preferred.items():
        first = remembered.get(name, wanted)
        chosen = _first_free(first, ports, is_free)
        if chosen is None:
            raise NoFreePort(name=name, preferred=first)
        if chosen != first:
            notes.append(f"Port {first} ({name}) is taken; using {chosen} instead.")
        ports[name] = chosen
    return PortPlan(ports=ports, notes=tuple(notes))


def find_free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """Any free ports, all different, as the system gives them."""
    sockets = [socket.create_server((HOST, 0)) for _ in names]
    try:
        return {name: sock.getsockname()[1] for name, sock in zip(names, sockets, strict=True)}
    finally:
        for sock in sockets:
            sock.close()


def _first_free(first: int, chosen: Mapping[str, int], is_free: Callable[[int], bool]) -> int | None:
    taken = set(chosen.values())
    for port in range(first, _LAST_PORT + 1):
        if port not in taken and is_free(port):
            return port
    return None
