"""The text of an API key: public prefix, 256 secret bits, only a hash to keep."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.data import IssuedKey, KeyIdentity, Scope
from apps.accounts.domain.key_cache import KeyCache
from apps.accounts.domain.keys import compute_key_hash, is_key_form, make_key_text

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def identity(number: int = 1, expires_at: datetime | None = None) -> KeyIdentity:
    return KeyIdentity(
        id=UUID(int=number),
        name="key",
        prefix="abcdefgh",
        project_id=None,
        scopes=frozenset({Scope.JOBS_READ}),
        rate_limit_per_minute=60,
        expires_at=expires_at,
    )


@given(st.binary(min_size=5, max_size=5), st.binary(min_size=32, max_size=32))
def test_every_made_key_has_the_form_and_is_found_by_its_hash(prefix_bytes, secret_bytes):
    text = make_key_text(prefix_bytes, secret_bytes)
    assert is_key_form(text.secret)
    assert text.secret.startswith(f"fk_{text.prefix}_")
    assert text.sha256 == compute_key_hash(text.secret) == hashlib.sha256(text.secret.encode()).hexdigest()


@pytest.mark.parametrize(
    "text", ["", "fk_", "fk_abcdefgh_short", "sk_abcdefgh_" + "a" * 43, "fk_ABCDEFGH_" + "a" * 43, "fk_é"]
)
def test_a_text_of_another_form_is_no_key(text):
    assert not is_key_form(text)


def test_fewer_random_bytes_are_refused():
    with pytest.raises(ValueError, match="random bytes"):
        make_key_text(b"12345", b"short")


def test_a_secret_is_not_in_the_representation_of_what_carries_it():
    text = make_key_text(b"12345", bytes(32))
    assert text.secret not in repr(text)
    assert text.secret not in repr(IssuedKey(id=UUID(int=1), prefix=text.prefix, secret=text.secret))


def test_the_cache_answers_until_its_time_is_over():
    cache = KeyCache(max_entries=2)
    cache.put("a", identity(), NOW + timedelta(seconds=10))
    assert cache.get("a", NOW) == identity()
    assert cache.get("a", NOW + timedelta(seconds=10)) is None
    assert cache.get("b", NOW) is None


def test_the_cache_does_not_outlive_the_key_itself():
    cache = KeyCache(max_entries=2)
    cache.put("a", identity(expires_at=NOW + timedelta(seconds=1)), NOW + timedelta(seconds=10))
    assert cache.get("a", NOW + timedelta(seconds=1)) is None


def test_the_cache_forgets_the_oldest_beyond_its_size_and_any_on_demand():
    cache = KeyCache(max_entries=2)
    for number, name in enumerate("abc", start=1):
        cache.put(name, identity(number), NOW + timedelta(seconds=10))
    assert [name for name in "abc" if cache.get(name, NOW)] == ["b", "c"]
    cache.forget("b")
    assert cache.get("b", NOW) is None
    cache.clear()
    assert cache.get("c", NOW) is None
