"""What counts as a script's answer."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.keeper.sandbox.errors import ScriptOutputInvalid
from workers.keeper.sandbox.output import parse_output

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=12,
)


@given(documents)
def test_one_document_is_read_as_it_was_printed(document: object):
    assert parse_output(json.dumps(document).encode() + b"\n") == document


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        (b"", "no output"),
        (b" \n\t", "no output"),
        (b"hello", "Expecting value"),
        (b"{} {}", "Extra data"),
        (b"{}\nnull", "Extra data"),
        (b'{"a": 1,}', "at character"),
        (b"{'a': 1}", "at character"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e999", "inf"),
        (b"9007199254740993", "9007199254740993"),
        (b"1" * 5_000, "digits"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'"\\ud800"', ""),
        (b"\xff\xfe", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b"[" * 200_000, "deeper than 64"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "deeper than 64"),
        (b'"a\x00b"', "at character"),
    ],
)
def test_anything_else_is_refused_with_its_reason(stdout: bytes, reason: str):
    with pytest.raises(ScriptOutputInvalid) as refused:
        parse_output(stdout)
    assert refused.value.code == "script_not_json"
    assert reason in refused.value.reason


def test_sixty_four_levels_are_read():
    assert parse_output(b"[" * 64 + b"]" * 64)
    assert parse_output(b'{"a":' * 64 + b"1" + b"}" * 64)


@given(st.binary(max_size=200))
def test_any_bytes_are_one_document_or_refused(stdout: bytes):
    with contextlib.suppress(ScriptOutputInvalid):
        parse_output(stdout)
