"""The Python that runs scripts: this keeper's own base interpreter, else the distribution's.

Jails run without site-packages, so an interpreter is its executable, its standard library and the
shared libraries beside it. Where the jails' uid could not reach it (a keeper started as root over
an interpreter in a home folder), those files are mirrored, by hard links where possible.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.keeper.sandbox.errors import SandboxUnavailable
from workers.keeper.sandbox.scratch import is_open_to_others

_OLDEST: Final = (3, 11)
_DISTRIBUTION: Final = Path("/usr/bin/python3")
_PROBE: Final = (
    "import ctypes, json, os, sys, sysconfig;"
    "print(json.dumps({'version': sys.version_info[:2], 'prefix': sys.base_prefix,"
    " 'platlibdir': sys.platlibdir, 'executable': os.path.realpath(sys.executable),"
    " 'stdlib': sysconfig.get_path('stdlib')}))"
)
_LEFT_OUT: Final = frozenset(
    {
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "turtledemo",
        "ensurepip",
        "lib2to3",
    }
)
#: Byte code of the levels jails do not run at.
_OPTIMISED: Final = (".opt-1.pyc", ".opt-2.pyc")
#: Never the keeper's environment; the same words in every jail.
ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "MALLOC_ARENA_MAX": "2",
}
#: No user site, no site at all, no script folder on the path, no byte code written. `-I` would also
#: ignore PYTHONHASHSEED; with an environment of our own there is nothing else for it to ignore.
FLAGS: Final = ("-s", "-S", "-P", "-B", "-X", "utf8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """Where its parts are, on this machine."""

    executable: Path
    prefix: Path
    standard_library: Path
    libraries: tuple[Path, ...]
    platlibdir: str

    @property
    def folder_name(self) -> str:
        """The standard library's folder below the prefix, such as `lib/python3.11`."""
        return f"{self.platlibdir}/{self.standard_library.name}"

    def get_environment(self, prefix: Path | None = None) -> dict[str, str]:
        """What it is started with, standing at its own or at another prefix."""
        home = str(prefix or self.prefix)
        libraries = {"LD_LIBRARY_PATH": f"{home}/lib"} if self.libraries else {}
        return {**ENVIRONMENT, "PYTHONHOME": home, **libraries}


def find_interpreter() -> Interpreter:
    """The first that is new enough and has ctypes; raises SandboxUnavailable with each one's reason."""
    running = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    reasons = {}
    for executable in dict.fromkeys((running, _DISTRIBUTION)):
        found = _probe(executable)
        if isinstance(found, Interpreter):
            return found
        reasons[str(executable)] = found
    raise SandboxUnavailable(reasons=reasons)


def make_reachable(interpreter: Interpreter, folder: Path) -> Interpreter:
    """The same interpreter where any uid can read it: itself, or a mirror made in `folder`."""
    parts = (interpreter.executable, interpreter.standard_library, *interpreter.libraries)
    if all(is_open_to_others(path) for path in parts):
        return interpreter

    executable = folder / "bin" / "python3"
    library = folder / interpreter.folder_name
    for path in (folder, executable.parent, folder / "lib", library.parent):
        path.mkdir(mode=0o755, exist_ok=True)
        path.chmod(0o755)
    _link(interpreter.executable, executable)
    _mirror(interpreter.standard_library, library)
    for path in interpreter.libraries:
        _link(path, folder / "lib" / path.name)
    return Interpreter(
        executable=executable,
        prefix=folder,
        standard_library=library,
        libraries=tuple(folder / "lib" / path.name for path in interpreter.libraries),
        platlibdir=interpreter.platlibdir,
    )


def _probe(executable: Path) -> Interpreter | str:
    """The interpreter at this path, or why it is not one."""
    try:
        done = subprocess.run(
            [executable, "-I", "-S", "-c", _PROBE],
            env={"LD_LIBRARY_PATH": str(executable.parent.parent / "lib")},
            capture_output=True,
            timeout=30,
            check=True,
        )
        facts = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        return f"{type(exc).__name__}: {exc}"[:200]
    if tuple(facts["version"]) < _OLDEST:
        return f"Python {facts['version']} is too old"

    prefix = Path(facts["prefix"])
    is_own_tree = prefix not in (Path("/usr"), Path("/"))
    return Interpreter(
        executable=Path(facts["executable"]),
        prefix=prefix,
        standard_library=Path(facts["stdlib"]),
        libraries=tuple(sorted((prefix / "lib").glob("*.so*"))) if is_own_tree else (),
        platlibdir=facts["platlibdir"],
    )


def _mirror(source: Path, target: Path) -> None:
    for folder, names, files in os.walk(source):
        names[:] = [name for name in names if name not in _LEFT_OUT and not name.startswith("config-")]
        here = target / Path(folder).relative_to(source)
        here.mkdir(exist_ok=True)
        here.chmod(0o755)
        for name in files:
            if not name.endswith(_OPTIMISED):
                _link(Path(folder) / name, here / name)


def _link(source: Path, target: Path) -> None:
    real = source.resolve()
    try:
        os.link(real, target)
    except OSError:
        shutil.copy2(real, target)
