"""The witness of one task's run, from what its assignment and its result say.

Performer, attesters and prover build it the same way: the specification's digest, then the digests of its
input files and of its parents' outputs in the order of their names, the performer's measures, the output's
digest, and the performer's salt. What a proof of it says, and does not say, of a script is in `statement`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from apps.content.domain.cid import cid_digest
from apps.kernel.hashing import canonical_json, from_hex, keccak
from apps.proofs.data import TaskWitness
from apps.proofs.domain.field import ORDER, to_element
from apps.proofs.domain.statement import witness_of_run

#: the measures a statement binds, in this order
MEASURES: Final = ("compute_units", "cpu_ms", "wall_ms", "peak_memory_bytes", "gas_used")


def build_witness(*, task_id: int, spec: Mapping[str, Any], result: Mapping[str, Any]) -> TaskWitness:
    """The witness of an accepted result, for the circuit its specification names (`spec["proof"]`).

    `task_id` is the task's 128-bit number, `spec` the signed specification, `result` what its receipt
    carries. Raises TraceTooLong, WitnessInvalid, and KeyError or Invalid for a result that is none.
    """
    cids = [cid for _, cid in sorted(spec["inputs"].items())]
    cids += [cid for _, cid in sorted(get_parent_outputs(spec, result).items())]
    witness = witness_of_run(
        task_id=task_id,
        input_digests=[keccak(canonical_json(spec)), *map(cid_digest, cids)],
        measures=[result[name] for name in MEASURES],
        output_digest=from_hex(result["output_hash"], length=32),
        salt=to_element(from_hex(result["salt"], length=32)),
    )
    return replace(witness, size=spec["proof"]["circuit"])


def get_parent_outputs(spec: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, str]:
    """Step → output CID of every parent the task read: those that were known, and those it waited for.

    What it only waited for, without reading it, is left out.
    """
    awaits = spec.get("awaits") or {}
    awaited = {
        step: each["output_cid"]
        for step, each in (result.get("parents") or {}).items()
        if awaits[step]["kind"] == "data"
    }
    return {**spec["parents"], **awaited}


def draw_salt(random_bytes: bytes) -> bytes:
    """32 bytes that are a salt: an element of the field. Give at least 40 random ones."""
    return (int.from_bytes(random_bytes) % ORDER).to_bytes(32)
