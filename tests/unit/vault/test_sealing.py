"""Sealing, and what secrets may be called."""

import pytest

from apps.vault.domain.names import VALUE_MAX, require_name, require_value
from apps.vault.errors import SecretNameInvalid, SecretUnreadable, SecretValueInvalid
from apps.vault.sealing import reseal, seal, unseal

OLD, NEW = "old-key-" * 5, "new-key-" * 5


def test_what_was_sealed_is_read_again_and_looks_different_each_time():
    first, second = seal("pä$$", "a"), seal("pä$$", "a")
    assert first != second
    assert first.isascii()
    assert unseal(first, "a") == unseal(second, "a") == "pä$$"


@pytest.mark.parametrize("token", ["", "nonsense", "gAAAAAB", "ü"])
def test_what_nobody_sealed_is_unreadable(token):
    with pytest.raises(SecretUnreadable):
        unseal(token, "a")


def test_what_was_sealed_for_one_purpose_opens_for_no_other():
    token = seal("value", "a")
    with pytest.raises(SecretUnreadable) as caught:
        unseal(token, "b")
    assert "value" not in str(caught.value)


def test_a_changed_key_reads_what_the_one_before_sealed_until_that_is_forgotten(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    token = seal("value", "a")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert unseal(token, "a") == "value"
    again = reseal(token, "a")
    settings.SECRET_KEY_FALLBACKS = []
    assert unseal(again, "a") == "value"
    with pytest.raises(SecretUnreadable):
        unseal(token, "a")


@pytest.mark.parametrize("name", ["a", "Price_feed-2", "a" * 64])
def test_names_begin_with_a_letter(name):
    assert require_name(name) == name


@pytest.mark.parametrize("name", ["", "1a", "_a", "a b", "a\n", "a.b", "ä", "a" * 65, None, 7])
def test_other_names_are_refused_without_being_repeated(name):
    with pytest.raises(SecretNameInvalid) as caught:
        require_name(name)
    assert caught.value.fields.keys() == {"reason"}


@pytest.mark.parametrize("value", ["", "x" * (VALUE_MAX + 1), "a\0b", "\ud800", None, 7, ["x"]])
def test_values_that_cannot_be_kept_are_refused_without_being_repeated(value):
    with pytest.raises(SecretValueInvalid) as caught:
        require_value(value)
    assert caught.value.fields.keys() == {"reason"}


def test_a_value_of_many_lines_is_kept_as_it_is():
    assert require_value(" a\nb ") == " a\nb "
