"""Key files: private, whole, and never shown."""

import json
import stat

import pytest

from apps.chains.errors import KeyFileInvalid
from apps.chains.keys import ensure_account, ensure_keystore, read_account, read_keystore
from apps.kernel import bls


def test_a_created_file_is_private_and_read_back(tmp_path):
    path = tmp_path / "deep" / "keystore.json"
    keys = ensure_keystore(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_keystore(path) == keys == ensure_keystore(path)
    assert keys.bls_public_key == bls.public_key_of(keys.bls_secret)
    assert set(json.loads(path.read_text())) == {"address", "private_key", "bls_secret"}
    assert list(path.parent.iterdir()) == [path]


def test_secrets_are_in_no_repr(tmp_path):
    keys = ensure_keystore(tmp_path / "keystore.json")
    shown = repr(keys) + str(keys.account)
    assert keys.bls_secret.hex() not in shown
    assert keys.account.private.to_hex() not in shown


def write(path, content, mode=0o600):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


GOOD = {"address": "0x" + "00" * 20, "private_key": "0x" + "01" * 32}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", {"address": "0x"}, {**GOOD, "private_key": "0x" + "00" * 32}, GOOD],
    ids=["empty", "a list", "no fields", "no key", "a zero key", "another key's address"],
)
def test_a_malformed_file_is_refused(tmp_path, content):
    with pytest.raises(KeyFileInvalid):
        read_account(write(tmp_path / "key.json", content))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(KeyFileInvalid):
        read_account(tmp_path / "none.json")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_others_can_open_is_refused(tmp_path, mode):
    path = tmp_path / "key.json"
    ensure_account(path)
    path.chmod(mode)
    with pytest.raises(KeyFileInvalid, match="others can read it"):
        read_account(path)


def test_a_keystore_without_a_valid_bls_secret_is_refused(tmp_path):
    path = tmp_path / "keystore.json"
    account = ensure_account(path)
    with pytest.raises(KeyFileInvalid):
        read_keystore(path)
    content = {"address": account.address, "private_key": account.private.to_hex(), "bls_secret": "0x00"}
    with pytest.raises(KeyFileInvalid) as caught:
        read_keystore(write(path, content))
    assert account.private.to_hex() not in str(caught.value)
