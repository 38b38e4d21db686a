"""ETags name a row's version."""

from types import SimpleNamespace

import pytest

from apps.gateway.errors import EtagInvalid
from apps.gateway.rest.etags import etag_of, read_match, require_match
from apps.kernel.errors import PreconditionFailed


def request(if_match: str | None):
    return SimpleNamespace(headers={} if if_match is None else {"If-Match": if_match})


def test_a_rows_etag_is_its_version_else_its_event_sequence():
    assert etag_of(SimpleNamespace(version=3, event_sequence=9)) == '"v3"'
    assert etag_of(SimpleNamespace(event_sequence=9)) == '"v9"'


@pytest.mark.parametrize("text", [None, "", "*"])
def test_without_a_version_every_row_matches(text):
    assert require_match(request(text), SimpleNamespace(version=3)) is None


def test_the_same_version_matches_and_is_handed_on():
    assert require_match(request('"v3"'), SimpleNamespace(version=3)) == 3
    assert require_match(request('W/"v3"'), SimpleNamespace(version=3)) == 3


def test_another_version_is_refused_with_both():
    with pytest.raises(PreconditionFailed) as caught:
        require_match(request('"v2"'), SimpleNamespace(version=3))
    assert (caught.value.expected, caught.value.found) == (2, 3)


@pytest.mark.parametrize("text", ["v3", '"3"', '"v3", "v4"', '"vx"', '"v' + "9" * 30 + '"'])
def test_a_text_that_is_no_etag_of_ours_is_refused(text):
    with pytest.raises(EtagInvalid):
        read_match(request(text))
