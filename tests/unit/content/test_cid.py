"""CIDs against vectors of the reference importer (kubo's parameters) and against damaged text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.content.data import CHUNK_BYTES, Codec
from apps.content.domain.cid import cid_digest, cid_of
from apps.content.domain.names import block_cid, cid_text, parse_cid
from apps.content.errors import CidInvalid
from apps.kernel.hashing import sha256


def pattern(size: int) -> bytes:
    """Bytes that differ from chunk to chunk: (31 i + 7 (i >> 8) + 13 (i >> 16)) mod 256."""
    return bytes((i * 31 + (i >> 8) * 7 + (i >> 16) * 13) & 0xFF for i in range(size))


# Made with npm ipfs-unixfs-importer (cidVersion 1, rawLeaves, fixed 262144-byte chunks, balanced layout
# of 174), the reference implementation; kubo's `ipfs add --cid-version=1` uses the same parameters.
ZERO_VECTORS = [
    (0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
    (1, "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu"),
    (262_144, "bafkreiekhhjkxu4ztk3tyng3er3ijhg56mb44oe3gwbgquhzu4afrg2ksa"),
    (262_145, "bafybeigllfqgfpqydppr6cmv56g7ax4wyhruzswvcefv6j5kj77nzttfki"),
    (1_048_576, "bafybeiggzq4ryi7hscq5hzvzcnk4urnxt3asp37dhgvnjilf7exskximla"),
]
PATTERN_VECTORS = [
    (262_143, "bafkreig6kuzcq6bgpbpnwsmcvs7a34p5r4zotxsr6phgfc5b3v5yn4gpfi"),
    (262_145, "bafybeihn3jdjr7ug74plqriwu5bxd4srbljuhif3fpoj4o3ym4lvzrps5u"),
    (524_288, "bafybeiclffqyzn75pyfmxrvsm63f4b2yz2zge33m5ir2c3ohqdhfmzjn6i"),
    (1_000_000, "bafybeihesy4gkwsnp6zqmdaauaqwbi5di3hdknpxl7h75xwni4u3pbqpbm"),
]
TWO_LEVEL_VECTORS = [
    (174 * CHUNK_BYTES, "bafybeiequwccgw42e2aysgpuhhdrl5vuizr2aazlzhlcm6mqj4mylgbfii"),
    (174 * CHUNK_BYTES + 1, "bafybeie7ejyd2kdeqivydjroem3zyxp2zhbvjbyz4lojfyg6qmnvxo252a"),
    (175 * CHUNK_BYTES + 5, "bafybeicpo5v3ehc7pfxcvxdw3zqxrzvelaocb36lnhmde66zyjsvy47eou"),
]


@pytest.mark.parametrize(("size", "cid"), ZERO_VECTORS)
def test_zeros_have_the_cid_the_reference_gives(size: int, cid: str):
    assert cid_of(bytes(size)) == cid


@pytest.mark.parametrize(("size", "cid"), PATTERN_VECTORS)
def test_a_pattern_has_the_cid_the_reference_gives(size: int, cid: str):
    assert cid_of(pattern(size)) == cid


def test_a_tree_of_two_levels_has_the_cid_the_reference_gives():
    longest = pattern(TWO_LEVEL_VECTORS[-1][0])
    assert [cid_of(longest[:size]) for size, _ in TWO_LEVEL_VECTORS] == [cid for _, cid in TWO_LEVEL_VECTORS]


def test_a_small_content_is_one_raw_block_named_by_its_sha256():
    cid = parse_cid(cid_of(b"hello"))
    assert cid.codec is Codec.RAW
    assert cid.digest == sha256(b"hello") == cid_digest(cid_of(b"hello"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykuu",
        "BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykU",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk1",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykv",
        "bafyreihdb57fdysx5h35urvxz64ros7zvywshber7id6t6c6fek37jgyfe",
        "b" + "/" * 58,
        "b../../../../../../../../../../../../../../../../etc/passwd",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk\u0661",
    ],
)
def test_text_that_is_no_cid_of_ours_is_refused(text: str):
    with pytest.raises(CidInvalid):
        parse_cid(text)


def test_a_thing_that_is_no_text_is_refused():
    with pytest.raises(CidInvalid):
        parse_cid(None)  # type: ignore[arg-type]


@given(st.sampled_from(Codec), st.binary(max_size=64))
def test_every_cid_reads_back(codec: Codec, data: bytes):
    text = block_cid(codec, data)
    assert cid_text(parse_cid(text)) == text


@given(st.text(max_size=70))
def test_any_text_is_a_cid_or_refused(text: str):
    try:
        cid = parse_cid(text)
    except CidInvalid:
        return
    assert cid_text(cid) == text
