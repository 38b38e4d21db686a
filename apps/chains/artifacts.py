"""The compiled contracts, read once per process from `contracts/artifacts/`."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from apps.chains.domain.contract_abi import ContractAbi
from apps.chains.errors import ArtifactInvalid

ARTIFACTS: Final = Path(__file__).resolve().parents[2] / "contracts" / "artifacts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One compiled contract."""

    name: str
    abi: ContractAbi
    entries: tuple[dict[str, Any], ...]
    bytecode: bytes


@lru_cache
def get_artifact(name: str) -> Artifact:
    """The artefact of a contract of `contracts.build.CONTRACTS`; raise ArtifactInvalid."""
    path = ARTIFACTS / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = tuple(content["abi"])
        bytecode = bytes.fromhex(content["bytecode"].removeprefix("0x"))
    except (OSError, ValueError, KeyError) as exc:
        raise ArtifactInvalid(contract=name, reason=str(exc)[:200]) from exc
    return Artifact(name=name, abi=ContractAbi(name, entries), entries=entries, bytecode=bytecode)


def get_abi(name: str) -> ContractAbi:
    """The ABI of one of our contracts."""
    return get_artifact(name).abi
