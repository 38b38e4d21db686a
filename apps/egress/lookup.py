"""Names to addresses: ours, so that nothing is connected to but what was checked."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from apps.egress.guard import AllowList, check_addresses

#: From a host and a port to all its addresses; raises OSError where there are none.
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

#: A name server that hangs keeps a thread; these are ours alone, so others' threads are never used up.
_THREADS: Final = 8


class SystemLookup:
    """`getaddrinfo` in threads of its own, which nobody waits for at the end."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="egress-lookup")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """All addresses of the name. Raises OSError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _resolve, host, port)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """aiohttp's resolver: one refused address refuses the name; nothing but what passed is connected to."""

    def __init__(self, lookup: Lookup, allow: AllowList) -> None:
        self._lookup, self._allow = lookup, allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The checked addresses as literals. Raises AddressRefused, OSError."""
        addresses = await self._lookup(host, port)
        if not addresses:
            raise OSError("no address")
        check_addresses(host, port, addresses, self._allow, shown=f"{host}:{port}")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _resolve(host: str, port: int) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except UnicodeError:
        raise OSError("not a name") from None
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))
