"""`python -m workers.listener`: hears of new blocks and logs on every chain that is configured.

The chain that is settled on pokes who waits for its blocks; logs open runs. Any number of listeners may run:
one leads each chain, the others take over within seconds. Without any, beat's catch-up and the sweeps do the
same, later.
"""

import os
import signal
import threading
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django.setup()

from apps.chains.networks import get_networks  # noqa: E402
from apps.watching.leases import make_holder  # noqa: E402
from workers.listener.watching import ChainWatch  # noqa: E402
from workers.pokes import poke  # noqa: E402

#: so often one looks for chains that came with a deployment
_LOOK_SECONDS: Final = 1.0


def main() -> None:
    """Listen until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    listen(stopping)


def listen(stopping: threading.Event) -> None:
    """Watch every chain there is, also those that come with a later deployment."""
    holder = make_holder()
    threads: dict[int, threading.Thread] = {}
    while not stopping.is_set():
        for chain_id, network in get_networks().items():
            if chain_id not in threads:
                watch = ChainWatch(network=network, holder=holder, poke=poke)
                threads[chain_id] = threading.Thread(
                    target=watch.run, args=(stopping,), name=f"lead-{chain_id}", daemon=True
                )
                threads[chain_id].start()
        stopping.wait(_LOOK_SECONDS)
    for thread in threads.values():
        thread.join(timeout=20)


if __name__ == "__main__":
    main()
