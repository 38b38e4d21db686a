"""A plain Celery queue of no-ops on the same Redis: what the pipeline's messages are compared with."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import redis
from celery import Celery

from bench.deployment import Scratch

_KEY = "bench:peer"
_SECONDS = 120.0

app = Celery("peer", broker=os.environ.get("REDIS_URL", ""))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4, worker_hijack_root_logger=False)
_clients: dict[int, "redis.Redis"] = {}


@app.task(name="bench.peer.noop")
def noop() -> None:
    """Count this message."""
    _client(os.environ["REDIS_URL"]).incr(_KEY)


def measure_peer(scratch: Scratch, count: int) -> float:
    """So many messages, sent one by one, through a prefork worker of two; messages per second."""
    url = scratch.plan.environment["REDIS_URL"]
    client = _client(url)
    client.delete(_KEY)
    with _worker(url, dict(scratch.plan.environment)), Celery("peer", broker=url) as sender:
        with sender.producer_pool.acquire(block=True) as producer:
            sender.send_task("bench.peer.noop", queue="peer", producer=producer)
            scratch.wait_for(lambda: _counted(client) >= 1, _SECONDS, what="the peer's worker")
            began = monotonic()
            for _ in range(count):
                sender.send_task("bench.peer.noop", queue="peer", producer=producer)
        scratch.wait_for(lambda: _counted(client) > count, _SECONDS, what="the peer's messages")
        return count / (monotonic() - began)


@contextmanager
def _worker(url: str, environment: dict[str, str]) -> Iterator[None]:
    command = "-m celery -A bench.peer worker -Q peer -c 2 --without-gossip --without-mingle -l ERROR"
    worker = subprocess.Popen(
        [sys.executable, *command.split()],
        env={**environment, "REDIS_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _client(url: str) -> "redis.Redis":
    """One connection per process."""
    return _clients.setdefault(os.getpid(), redis.Redis.from_url(url))


def _counted(client: "redis.Redis") -> int:
    return int(client.get(_KEY) or 0)
