"""The same script and inputs give the same bytes, run after run and engine after engine."""

import pytest

from tests.integration.sandbox.conftest import PRESENT
from workers.keeper.sandbox.data import Sandbox, SandboxRequest
from workers.keeper.sandbox.errors import SandboxUnavailable
from workers.keeper.sandbox.opening import open_sandbox

SCRIPT = b"""
import csv, datetime, decimal, hashlib, json, math, os, random, statistics, sys, threading

told = json.load(sys.stdin)
with open("inputs/prices.csv") as file:
    prices = [float(row["price"]) for row in csv.DictReader(file)]
returns = [math.log(b / a) for a, b in zip(prices, prices[1:])]
words = {f"word{n}" for n in range(200)} | {None, 1, 2.5, (1, "x"), frozenset("abc")}
class Thing:
    def __init__(self, n): self.n = n
print(json.dumps({
    "told": told,
    "volatility": statistics.stdev(returns) * math.sqrt(12),
    "set order": [repr(word) for word in words],
    "hash": [hash("forekeep"), hash(("a", 1.5))],
    "random": [random.random() for _ in range(3)],
    "shuffled": random.sample(range(100), 10),
    "listing": sorted(os.listdir("inputs")),
    "environment": dict(os.environ),
    "argv": sys.argv,
    "decimal": str(decimal.Decimal(1) / 3),
    "digest": hashlib.sha256(repr(prices).encode()).hexdigest(),
    "local": datetime.datetime.fromtimestamp(0).isoformat(),
    "threads": threading.active_count(),
}))
"""
REQUEST = SandboxRequest(
    script=SCRIPT,
    stdin=b'{"b": 1, "a": [2, 3]}',
    inputs={"prices.csv": b"price\n" + b"".join(b"%d.%d\n" % (100 + n * n % 17, n) for n in range(240))},
)


def test_twenty_runs_give_the_same_bytes(engine: Sandbox):
    outputs = {engine.run(REQUEST).stdout for _ in range(20)}
    assert len(outputs) == 1
    assert outputs != {b""}


def test_all_engines_and_their_restarts_give_the_same_bytes():
    outputs = []
    for name in PRESENT * 2:
        try:
            sandbox = open_sandbox(name, pool_size=0)
        except SandboxUnavailable:
            continue
        try:
            outputs.append(sandbox.run(REQUEST).stdout)
        finally:
            sandbox.close()
    if len(outputs) < 2:
        pytest.skip("there is only one engine here")
    assert len(set(outputs)) == 1


def test_addresses_are_the_same_from_run_to_run(engine: Sandbox):
    script = b"print([id(None), id(print), sorted({object, int, str, None}, key=id)])"
    outputs = {engine.run(SandboxRequest(script=script)).stdout for _ in range(5)}
    assert len(outputs) == 1
