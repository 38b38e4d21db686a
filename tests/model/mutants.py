"""Tries every seeded fault of `faults.py` against the test that must notice it.

    python -m tests.model.mutants [name …]

Each is tried in a forked process of its own that reads the faulty source instead of the file's and runs
nothing but the named test there. Nothing on disk is changed. Exit 1 where a fault survives.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Final

from tests.model.faults import MUTANTS, Mutant

ROOT: Final = Path(__file__).resolve().parents[2]
_PASSED: Final = re.compile(r"^\d+ passed in ", re.MULTILINE)
#: a fault that does not even run proves nothing
_CRASH: Final = re.compile(r"(Name|Syntax|Import|ModuleNotFound|Attribute|Type|Key)Error")


def main(names: Sequence[str]) -> int:
    """Try the named faults, or all; 1 where one survives."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    said = run_tests({mutant.killer for mutant in chosen})
    if not _PASSED.search(said):
        print(f"the tests do not pass without a fault:\n{said[-2000:]}")
        return 1
    survivors = 0
    for mutant in chosen:
        reason = try_out(mutant)
        survivors += not reason
        print(f"{'killed  ' if reason else 'SURVIVED'}  {mutant.name}\n    by {mutant.killer}", flush=True)
        print(f"    {reason[:150]}" if reason else "    the test passes, or broke for another reason")
    print(f"{len(chosen) - survivors} of {len(chosen)} faults killed")
    return 1 if survivors or not chosen else 0


def try_out(mutant: Mutant) -> str:
    """What the fault's own test finds wrong; empty where it finds nothing, or breaks for another reason."""
    said = run_tests([mutant.killer], mutant)
    lines = [line for line in said.splitlines() if line.startswith("FAILED ")]
    found = lines[0].rpartition(" - ")[2] if lines else ""
    return "" if _CRASH.match(found) else found


def run_tests(tests: Iterable[str], mutant: Mutant | None = None) -> str:
    """What pytest prints of these tests in a forked process, with the fault in place."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as out:
                out.write(_run(mutant, sorted(tests)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def mutate(mutant: Mutant) -> str:
    """The file's source with the fault in it; the text it replaces must be there exactly once."""
    source = (ROOT / mutant.file).read_text()
    if source.count(mutant.old) != 1:
        raise LookupError(f"{mutant.name}: its text is {source.count(mutant.old)} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def _run(mutant: Mutant | None, tests: Sequence[str]) -> str:
    """Run these tests alone, without Django and without what other tests need."""
    if mutant is not None:
        sys.meta_path.insert(0, _FaultySource(mutant))
    os.environ["COLUMNS"] = "2000"
    arguments = ["-x", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider", "-c", os.devnull, "--noconftest"]
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        _pytest().main([*arguments, "--rootdir", str(ROOT), "--import-mode=importlib", *tests])
    return said.getvalue()


class _FaultySource(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Loads one module from a faulty source."""

    def __init__(self, mutant: Mutant) -> None:
        self._module = mutant.file.removesuffix(".py").replace("/", ".")
        self._path = str(ROOT / mutant.file)
        self._source = mutate(mutant)

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self._module:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._path)

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str) -> bytes:
        if path != self._path:
            raise OSError(path)
        return self._source.encode()


def _pytest() -> ModuleType:
    """Imported late: the plugins that are installed must stay out."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return importlib.import_module("pytest")


def _warm_up() -> Iterator[ModuleType]:
    """What every child would import for itself."""
    for name in ("hypothesis", "hypothesis.strategies", "networkx", "coincurve"):
        yield importlib.import_module(name)


if __name__ == "__main__":
    os.chdir(ROOT)
    _pytest()
    for module in _warm_up():
        if module.__name__ == "hypothesis":
            module.settings.register_profile("mutants", deadline=None, database=None)
            module.settings.load_profile("mutants")
    sys.exit(main(sys.argv[1:]))
