"""Random ABI types with JSON values of them, for the encoder's and the decoder's tests."""

from typing import Any

from hypothesis import strategies as st

_hex = st.binary(max_size=70).map(lambda data: "0x" + data.hex())
_leaves: dict[str, st.SearchStrategy[Any]] = {
    "uint256": st.integers(0, 2**256 - 1),
    "uint8": st.integers(0, 255),
    "int256": st.integers(-(2**255), 2**255 - 1),
    "int24": st.integers(-(2**23), 2**23 - 1),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex()),
    "bytes4": st.binary(min_size=4, max_size=4).map(lambda data: "0x" + data.hex()),
    "bytes32": st.binary(min_size=32, max_size=32).map(lambda data: "0x" + data.hex()),
    "bytes": _hex,
    "string": st.text(alphabet=st.characters(codec="utf-8"), max_size=40),
}


@st.composite
def typed_values(draw: st.DrawFn, depth: int = 0) -> tuple[dict[str, Any], str, Any]:
    """A member, its canonical type, and a JSON value of it."""
    if depth < 2 and draw(st.booleans()):
        shape = draw(st.sampled_from(["array", "row", "tuple"]))
        if shape == "tuple":
            parts = draw(st.lists(typed_values(depth=depth + 1), min_size=1, max_size=3))
            member = {
                "type": "tuple",
                "name": "t",
                "components": [{**part, "name": f"m{i}"} for i, (part, _, _) in enumerate(parts)],
            }
            return member, f"({','.join(text for _, text, _ in parts)})", [value for _, _, value in parts]
        inner, text, _ = draw(typed_values(depth=depth + 1))
        size = draw(st.integers(1, 3))
        one = _values(text)
        count = size if shape == "row" else draw(st.integers(0, 3))
        suffix = f"[{size}]" if shape == "row" else "[]"
        values = draw(st.lists(one, min_size=count, max_size=count))
        return {**inner, "type": inner["type"] + suffix}, text + suffix, values
    text = draw(st.sampled_from(sorted(_leaves)))
    return {"type": text, "name": "x"}, text, draw(_leaves[text])


def _values(text: str) -> st.SearchStrategy[Any]:
    """Values of a canonical type."""
    if text.endswith("]"):
        inner, _, size = text[:-1].rpartition("[")
        low, high = (int(size), int(size)) if size else (0, 3)
        return st.lists(_values(inner), min_size=low, max_size=high)
    if text.startswith("("):
        return st.tuples(*(_values(part) for part in _split(text[1:-1]))).map(list)
    return _leaves[text]


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def native(text: str, value: Any) -> Any:
    """The value as eth_abi takes it."""
    if text.endswith("]"):
        return [native(text[: text.rindex("[")], item) for item in value]
    if text.startswith("("):
        return tuple(native(part, item) for part, item in zip(_split(text[1:-1]), value, strict=True))
    return bytes.fromhex(value[2:]) if text.startswith("bytes") else value
