"""The committed artefacts are what the compiler makes of the sources."""

import pytest

from apps.chains.artifacts import get_artifact
from apps.chains.domain import settlement_abi
from apps.chains.errors import ArtifactInvalid
from apps.kernel.hashing import keccak
from contracts.build import ARTIFACTS, CONTRACTS, compile_contract


@pytest.mark.parametrize("name", CONTRACTS)
def test_compiling_again_gives_the_committed_artefact(name):
    assert compile_contract(name) == (ARTIFACTS / f"{name}.json").read_text()


def test_the_hubs_signatures_are_the_ones_we_encode_for():
    hub = get_artifact("Hub").abi
    batch = f"submitBatch({','.join(settlement_abi.BATCH_TYPES)})"
    assert hub.encode("submitBatch", [], [], [], 0, [], b"", [])[:4] == keccak(batch.encode())[:4]
    single = f"submitTaskValidation({','.join(settlement_abi.SINGLE_TYPES)})"
    data = hub.encode("submitTaskValidation", 1, bytes(32), bytes(128), [], bytes(32), 0, 0, [0] * 8)
    assert data[:4] == keccak(single.encode())[:4]


def test_an_unknown_contract_or_function_is_named():
    with pytest.raises(ArtifactInvalid):
        get_artifact("Nothing")
    with pytest.raises(ArtifactInvalid):
        get_artifact("Hub").abi.encode("nothing")
