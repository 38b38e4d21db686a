"""A script's standard output, read as the one JSON object it must be."""

from typing import Any, Final

from apps.kernel.hashing import NotCanonicalJson, canonical_json
from workers.keeper.errors import TaskFailed
from workers.keeper.sandbox.errors import ScriptOutputInvalid
from workers.keeper.sandbox.output import parse_output

OUTPUT_MAX_BYTES: Final = 1024 * 1024


def read_output(stdout: bytes) -> tuple[dict[str, Any], bytes]:
    """The object and its canonical bytes, which are what is stored, hashed and compared.

    Raises TaskFailed: `script_not_json` (see `parse_output`), `script_output_not_object`,
    `script_output_too_large`.
    """
    try:
        output = parse_output(stdout)
    except ScriptOutputInvalid as exc:
        raise TaskFailed("script_not_json", str(exc.reason)) from None
    if not isinstance(output, dict):
        raise TaskFailed("script_output_not_object", f"a {type(output).__name__} was printed")
    return output, canonical_output(output)


def canonical_output(output: dict[str, Any]) -> bytes:
    """The canonical bytes of an output; raise TaskFailed as `read_output` does."""
    try:
        data = canonical_json(output)
    except NotCanonicalJson as exc:
        raise TaskFailed("script_output_not_canonical", str(exc.reason)) from None
    if len(data) > OUTPUT_MAX_BYTES:
        raise TaskFailed("script_output_too_large", f"{len(data)} bytes")
    return data
