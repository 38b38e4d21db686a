import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.proofs.domain.statement import compute_statement, evaluate
from apps.proofs.errors import ProvingKeyCorrupt, ProvingKeyMissing
from apps.proofs.groth16 import prove, verify
from apps.proofs.keys import (
    compute_key_path,
    ensure_keys,
    load_proving_key,
    load_steps,
    read_verifying_key,
)
from tests.support.proofs import make_witness, seeded_draw


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the 16-step circuit's keys."""
    made = tmp_path_factory.mktemp("keys")
    ensure_keys(made, 16, draw=seeded_draw())
    return made


@pytest.fixture
def copy(folder, tmp_path):
    """A copy to spoil: its path."""
    path = compute_key_path(tmp_path, 16)
    path.write_bytes(compute_key_path(folder, 16).read_bytes())
    return path


def test_a_proof_by_loaded_keys_verifies(folder):
    witness = make_witness()
    proof = prove(load_proving_key(folder, 16), evaluate(witness))
    assert verify(read_verifying_key(folder, 16), [compute_statement(witness).public_input], proof)


def test_keys_are_made_once(folder):
    before = compute_key_path(folder, 16).read_bytes()
    assert ensure_keys(folder, 16) == read_verifying_key(folder, 16)
    assert compute_key_path(folder, 16).read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [compute_key_path(folder, 16).name]


def test_two_setups_at_once_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: ensure_keys(tmp_path, 16), range(2))
    assert one == other == read_verifying_key(tmp_path, 16)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_file_is_named_after_circuit_digest_and_version(folder):
    name = compute_key_path(folder, 16).name
    assert name.startswith("task-statement-16-")
    assert name.endswith("-v1.key")
    assert compute_key_path(folder, 64).name != name


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(ProvingKeyMissing) as missing:
        load_proving_key(tmp_path, 16)
    assert missing.value.circuit.startswith("task-statement-16-")
    with pytest.raises(ProvingKeyMissing):
        read_verifying_key(tmp_path, 16)


def test_a_changed_body_is_found_before_anything_is_loaded(copy):
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    with pytest.raises(ProvingKeyCorrupt):
        next(load_steps(copy.parent, 16))


def test_a_file_that_was_cut_off_is_found(copy):
    copy.write_bytes(copy.read_bytes()[:-100])
    with pytest.raises(ProvingKeyCorrupt):
        next(load_steps(copy.parent, 16))


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"words": ["0x1"]}, {"words": 5}, {"words": ["zz"]}], ids=str
)
def test_a_changed_head_is_found(copy, change):
    line, _, body = copy.read_bytes().partition(b"\n")
    copy.write_bytes(json.dumps({**json.loads(line), **change}).encode() + b"\n" + body)
    with pytest.raises(ProvingKeyCorrupt):
        read_verifying_key(copy.parent, 16)


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"not json\n", b"{}\n"])
def test_a_file_that_is_no_key_is_found(copy, content):
    copy.write_bytes(content)
    with pytest.raises(ProvingKeyCorrupt):
        read_verifying_key(copy.parent, 16)
    with pytest.raises(ProvingKeyCorrupt):
        load_proving_key(copy.parent, 16)


def test_no_secret_is_in_the_file(folder):
    """What the set-up drew first are τ, α, β, γ and δ: none of them is there in any form."""
    data = compute_key_path(folder, 16).read_bytes()
    draw = seeded_draw()
    order = 21888242871839275222246405745257275088548364400416034343698204186575808495617
    for secret in (2 + draw(order - 2) for _ in range(5)):
        forms = (
            secret.to_bytes(32),
            secret.to_bytes(32, "little"),
            f"{secret:x}".encode(),
            str(secret).encode(),
        )
        assert not any(form in data for form in forms)
