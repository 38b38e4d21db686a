"""The JSON form of payloads and the guard against secrets."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest

from apps.eventlog.domain.forms import id_form, json_form, time_form
from apps.eventlog.errors import PayloadNotJson, SecretInPayload

_ID = UUID("01932c07-20aa-7123-8abc-0123456789ab")


class Colour(StrEnum):
    RED = "red"


def test_plain_json_stays_as_it_is():
    value = {"a": [1, "two", None, True, 0.75], "b": {"c": {}}}
    assert json_form(value) == value


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (_ID, _ID.hex),
        (Colour.RED, "red"),
        (datetime(2026, 11, 20, 7, 0, tzinfo=UTC), "2026-11-20T07:00:00.000000Z"),
        (datetime(2026, 11, 20, 9, 0, tzinfo=timezone(timedelta(hours=2))), "2026-11-20T07:00:00.000000Z"),
        (date(2026, 11, 20), "2026-11-20"),
        (timedelta(seconds=90), 90),
        (timedelta(milliseconds=1_500), 1.5),
        (Decimal("1.10"), "1.10"),
        (b"\x01\xff", "0x01ff"),
        ((1, 2), [1, 2]),
        ({3, 1}, [1, 3]),
        (2**53 - 1, 2**53 - 1),
        (2**53, str(2**53)),
        (-(2**60), str(-(2**60))),
        (5.0, 5),
        (-0.0, 0),
        (1e22, "10000000000000000000000"),
    ],
)
def test_other_values_take_a_form_both_databases_keep(value, form):
    found = json_form(value)
    assert found == form
    assert type(found) is type(form)


def test_text_that_a_database_cannot_store_is_replaced():
    assert json_form("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    assert json_form({"k\x00": 1}) == {"k\ufffd": 1}
    assert json_form("grüße 🚀") == "grüße 🚀"


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), 1j])
def test_a_value_without_json_form_is_refused_with_its_path(value):
    with pytest.raises(PayloadNotJson) as caught:
        json_form({"set": {"score": [0, value]}})
    assert caught.value.path == "/set/score/1"


@pytest.mark.parametrize(
    "key",
    [
        "private_key",
        "privateKey",
        "PRIVATE-KEY",
        "secret",
        "client_secret",
        "password",
        "db_passwd",
        "authorization",
        "Authorization",
        "mnemonic",
        "passphrase",
        "access_token",
        "keystore",
    ],
)
def test_a_key_that_names_a_secret_is_refused_with_its_path(key):
    with pytest.raises(SecretInPayload) as caught:
        json_form({"set": {"config": [{key: "hunter2"}]}})
    assert caught.value.path == f"/set/config/0/{key}"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "the key is fk_ab12cd_0123456789abcdefghijklmnop",
        "-----BEGIN EC PRIVATE KEY-----\nMHQ",
        "Authorization: Bearer abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_a_text_that_holds_a_secret_is_refused(text):
    with pytest.raises(SecretInPayload) as caught:
        json_form({"error": text})
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["public_key", "bls_public_key", "key_id", "prefix", "nonce", "token_address"]
)
def test_a_key_that_only_sounds_like_a_secret_is_kept(key):
    assert json_form({key: "x"}) == {key: "x"}


def test_times_always_have_six_decimals_and_z():
    assert time_form(datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)) == "2026-01-02T03:04:05.000060Z"


def test_an_aggregate_is_known_by_hex_digits_or_by_its_text():
    assert id_form(_ID) == _ID.hex
    assert id_form("0xabc") == "0xabc"
    assert id_form(7) == "7"
