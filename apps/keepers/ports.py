"""What the doors need from outside this app, wired by the project (`settings.KEEPER_PORTS`).

The chain lives beside this app, not below it, so its registry comes in through a port.
"""

from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from apps.keepers.data import OfflineAlerts, StakeRegistry
from apps.kernel.eip712 import TypedDomain


class KeeperPorts(Protocol):
    """The chain and hub that messages are signed for, the stake registry, and who hears of lost keepers."""

    @property
    def domain(self) -> TypedDomain:
        """The EIP-712 domain; raise RegistryUnreachable before the contracts are deployed."""
        ...

    @property
    def registry(self) -> StakeRegistry:
        """The chain's keeper registry."""
        ...

    @property
    def alerts(self) -> OfflineAlerts:
        """Who is told that keepers went offline."""
        ...


@cache
def get_ports() -> KeeperPorts:
    """The ports of this process."""
    ports: KeeperPorts = import_string(settings.KEEPER_PORTS)()
    return ports
