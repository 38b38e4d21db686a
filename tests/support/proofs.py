"""Witnesses, seeded set-ups and tiny circuits for the tests of proofs.

A seeded source of numbers is for tests only: whoever knows the seed can forge proofs under its keys.
"""

import random
from functools import lru_cache

from apps.proofs.data import TaskWitness
from apps.proofs.domain.r1cs import Recorder
from apps.proofs.domain.statement import record_circuit, witness_of_run
from apps.proofs.setup import set_up


def seeded_draw(seed=1):
    """A repeatable stand-in for `secrets.randbelow`."""
    return random.Random(seed).randrange


def digest(number):
    """A 32-byte digest."""
    return number.to_bytes(2) * 16


def make_witness(
    task_id=7, *, inputs=3, measures=(11, 22, 33), output=9, salt=1234567, **fields
) -> TaskWitness:
    """A script's run of the smallest size, unless it is given more inputs or measures."""
    values = {
        "task_id": task_id,
        "input_digests": [digest(number + 1) for number in range(inputs)],
        "measures": measures,
        "output_digest": digest(output),
        "salt": salt,
    }
    return witness_of_run(**{**values, **fields})


@lru_cache(maxsize=1)
def smallest_keys():
    """Both keys of the 16-step circuit, made once in this process."""
    return set_up(record_circuit(16), draw=seeded_draw())


def cube_circuit(builder, secret=None):
    """Public y = x³ + x + 5 for a private x; returns nothing."""
    y = None if secret is None else secret**3 + secret + 5
    public, x = builder.public(y), builder.private(secret)
    cube = builder.multiply(builder.multiply(x, x), x)
    builder.require(builder.linear(5, (1, cube), (1, x)), builder.one, public)


def record(circuit):
    """Write a circuit down."""
    recorder = Recorder()
    circuit(recorder)
    return recorder.finish()
