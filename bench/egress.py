"""What the guard costs: requests over kept connections, against bare aiohttp in the same process.

    python -m bench.egress [requests]

Both ask the same local server in a process of its own, in turns; read the ratios.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
from aiohttp import web

from apps.egress.client import EgressClient
from apps.egress.data import EgressLimits, Request
from bench.figures import Figure, tell

AT_ONCE = 8
ROUNDS = 5


async def serve() -> None:
    """A server of one small JSON document; prints its port, ends with its standard input."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"data": {"price": "3000.5"}})

    app = web.Application()
    app.router.add_get("/price", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def measure(ask: Callable[[], Awaitable[object]], requests: int) -> tuple[float, float]:
    """Requests per second and CPU milliseconds of one."""

    async def some() -> None:
        for _ in range(requests // AT_ONCE):
            await ask()

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    done = requests // AT_ONCE * AT_ONCE
    return done / (time.perf_counter() - began), (time.process_time() - cpu) * 1000 / done


async def compare(port: int, requests: int) -> dict[str, list[tuple[float, float]]]:
    """Both clients in turns."""
    url = f"http://127.0.0.1:{port}/price"
    limits = EgressLimits(allow=(f"127.0.0.1:{port}",), per_host_at_once=AT_ONCE)
    async with aiohttp.ClientSession() as bare, EgressClient(limits) as guarded:

        async def ask_bare() -> bytes:
            async with bare.get(url) as response:
                return await response.read()

        async def ask_guarded() -> bytes:
            return (await guarded.fetch(Request(url=url))).body

        found: dict[str, list[tuple[float, float]]] = {"bare aiohttp": [], "guarded": []}
        for _ in range(ROUNDS):
            found["bare aiohttp"].append(await measure(ask_bare, requests // ROUNDS))
            found["guarded"].append(await measure(ask_guarded, requests // ROUNDS))
        return found


def main(requests: int) -> None:
    """Print the table: the best round of each."""
    command = [sys.executable, "-m", "bench.egress", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = asyncio.run(compare(int(server.stdout.readline()), requests))
        server.communicate("")
    tell(figures_of(found["guarded"], found["bare aiohttp"]))


def figures_of(
    guarded: Sequence[tuple[float, float]], bare: Sequence[tuple[float, float]]
) -> tuple[Figure, ...]:
    """Rate and cost, each beside bare aiohttp."""
    rate, bare_rate = (max(rate for rate, _ in rounds) for rounds in (guarded, bare))
    cpu, bare_cpu = (min(cpu for _, cpu in rounds) for rounds in (guarded, bare))
    name, beside = f"guarded, {AT_ONCE} at once", "bare aiohttp"
    return (
        Figure(bench="egress", name=name, value=rate, unit="/s", ratio=rate / bare_rate, beside=beside),
        Figure(
            bench="egress", name=f"{name}, CPU", value=cpu, unit="ms", ratio=cpu / bare_cpu, beside=beside
        ),
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
