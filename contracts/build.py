"""Compile every contract: `python -m contracts.build` writes `contracts/artifacts/<Name>.json`.

The artefacts are committed, so a deployment needs no compiler; a test compiles again and compares.
`--check` writes nothing and exits 1 where an artefact is missing or differs from its source.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import vyper
from vyper.compiler.input_bundle import FilesystemInputBundle

SOURCES: Final = Path(__file__).resolve().parent
ARTIFACTS: Final = SOURCES / "artifacts"
#: The contracts that are deployed; `bls.vy` is a module of the first two.
CONTRACTS: Final = ("Registry", "Hub", "Escrow", "PriceBoard", "AlarmBoard", "Verifier")


def compile_contract(name: str) -> str:
    """The artefact of one contract as JSON text: name, compiler, ABI and creation bytecode."""
    sources = FilesystemInputBundle([SOURCES])
    compiled = vyper.compile_from_file_input(
        sources.load_file(f"{name}.vy"), input_bundle=sources, output_formats=("abi", "bytecode")
    )
    artifact: dict[str, Any] = {
        "contract": name,
        "compiler": f"vyper {vyper.__version__}",
        "evm_version": "prague",
        "abi": compiled["abi"],
        "bytecode": compiled["bytecode"],
    }
    return json.dumps(artifact, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write the artefacts, or with `--check` compare them; return the exit status."""
    stale = []
    for name in CONTRACTS:
        path, text = ARTIFACTS / f"{name}.json", compile_contract(name)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    verb = "differs from its source" if "--check" in arguments else "written"
    for name in stale:
        sys.stdout.write(f"{name}: {verb}\n")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
