"""What a keeper says about itself: parsing and signatures."""

from dataclasses import replace
from typing import Any

import pytest

from apps.keepers.data import check_in_from_json, registration_from_json
from apps.keepers.errors import KeeperMessageMalformed
from apps.kernel.eip712 import SignatureInvalid, TypedDomain, require_signer
from tests.factories.keepers import DOMAIN, Signer

SIGNER = Signer()


def test_a_registration_survives_the_wire_and_its_signature_verifies() -> None:
    message = SIGNER.registration()

    parsed, signature = registration_from_json(SIGNER.sign(message))

    assert parsed == message
    require_signer(parsed.digest(DOMAIN), signature, SIGNER.address)


def test_a_check_in_survives_the_wire_and_its_signature_verifies() -> None:
    message = SIGNER.check_in()

    parsed, signature = check_in_from_json(SIGNER.sign(message))

    assert parsed == message
    require_signer(parsed.digest(DOMAIN), signature, SIGNER.address)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "south"},
        {"version": "0.2.0"},
        {"capabilities": ("python",)},
        {"contact": {"email": "else@example.org"}},
        {"nonce": 1},
        {"timestamp": 1},
        {"bls_public_key": b"\x01" * 256},
    ],
)
def test_a_registration_changed_under_way_is_not_its_senders(change: dict[str, Any]) -> None:
    message = SIGNER.registration()
    signature = SIGNER.signature(message)

    with pytest.raises(SignatureInvalid):
        require_signer(replace(message, **change).digest(DOMAIN), signature, SIGNER.address)


@pytest.mark.parametrize("change", [{"uptime": 61}, {"version": "9"}, {"nonce": 1}, {"timestamp": 1}])
def test_a_check_in_changed_under_way_is_not_its_senders(change: dict[str, Any]) -> None:
    message = SIGNER.check_in()
    signature = SIGNER.signature(message)

    with pytest.raises(SignatureInvalid):
        require_signer(replace(message, **change).digest(DOMAIN), signature, SIGNER.address)


@pytest.mark.parametrize(
    "domain",
    [
        TypedDomain(chain_id=1, contract=DOMAIN.contract),
        TypedDomain(chain_id=31337, contract="0x" + "cd" * 20),
    ],
)
def test_a_check_in_for_another_chain_or_hub_does_not_verify(domain: TypedDomain) -> None:
    message = SIGNER.check_in()

    with pytest.raises(SignatureInvalid):
        require_signer(message.digest(DOMAIN), SIGNER.signature(message, domain), SIGNER.address)


def test_a_registration_is_no_check_in() -> None:
    registration, check_in = SIGNER.registration(), SIGNER.check_in()

    with pytest.raises(SignatureInvalid):
        require_signer(check_in.digest(DOMAIN), SIGNER.signature(registration), SIGNER.address)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("keeper", "0x12"),
        ("keeper", None),
        ("keeper", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"),
        ("bls_public_key", "zz"),
        ("possession", 5),
        ("name", ""),
        ("name", "n" * 65),
        ("name", "tab\there"),
        ("version", None),
        ("capabilities", "python"),
        ("capabilities", [1]),
        ("capabilities", ["x"] * 33),
        ("contact", ["mail"]),
        ("contact", {"email": 5}),
        ("contact", {str(i): "x" for i in range(9)}),
        ("nonce", -1),
        ("nonce", True),
        ("nonce", 1 << 53),
        ("nonce", "5"),
        ("timestamp", 1.5),
        ("signature", "0x12"),
        ("signature", None),
    ],
)
def test_a_malformed_registration_is_refused_with_its_place(member: str, value: object) -> None:
    body = {**SIGNER.sign(SIGNER.registration()), member: value}

    with pytest.raises(KeeperMessageMalformed) as caught:
        registration_from_json(body)
    assert caught.value.pointer == f"/{member}"


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(KeeperMessageMalformed):
        check_in_from_json(body)


def test_addresses_are_known_in_lower_case() -> None:
    body = {**SIGNER.sign(SIGNER.check_in()), "keeper": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}

    assert check_in_from_json(body)[0].keeper == "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
