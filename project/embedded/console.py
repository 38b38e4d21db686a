"""Where the processes' lines go: the terminal with the process's name before each, and a log file each."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

_COLOURS: Final = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
_NAME_WIDTH: Final = 8
_UNSHOWN: Final = frozenset({"event", "level", "logger", "timestamp", "trace_id", "span_id"})
_KEEP_BYTES: Final = 5_000_000


class Console:
    """Takes `(name, line)`; a log larger than 5 MB is set aside as `<name>.log.1` and begun anew.

    Nothing is shown when quiet, and of the `hidden` names only their log files are written.
    """

    def __init__(
        self, *, folder: Path, is_quiet: bool = False, is_plain: bool = False, hidden: Sequence[str] = ()
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._is_quiet = is_quiet
        self._hidden = frozenset(hidden)
        self._is_coloured = sys.stdout.isatty() and not is_plain
        self._files: dict[str, IO[str]] = {}

    def __call__(self, name: str, line: str) -> None:
        """Show and keep one line."""
        self._write_file(name, line)
        if self._is_quiet or name in self._hidden:
            return
        head = f"{time.strftime('%H:%M:%S')} {name:<{_NAME_WIDTH}}|"
        if self._is_coloured:
            head = f"\033[{_COLOURS[list(self._files).index(name) % len(_COLOURS)]}m{head}\033[0m"
        show(f"{head} {readable(line)}")

    def get_tail(self, name: str, lines: int) -> list[str]:
        """The last lines of one process."""
        path = self._folder / f"{name}.log"
        if not path.exists():
            return []
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]

    def get_names(self) -> list[str]:
        """The processes that have written something since the start."""
        return sorted(self._files)

    def close(self) -> None:
        """Close the log files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _write_file(self, name: str, line: str) -> None:
        path = self._folder / f"{name}.log"
        file = self._files.get(name)
        if file is not None and file.tell() > _KEEP_BYTES:
            file.close()
            path.replace(path.with_suffix(".log.1"))
            file = None
        if file is None:
            file = path.open("a", encoding="utf-8", buffering=1)
            self._files[name] = file
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}\n")


def readable(line: str) -> str:
    """A JSON log line as a person reads it: its level where it matters, the event, the facts."""
    if not line.startswith("{"):
        return line
    try:
        entry = json.loads(line)
        level, event = str(entry["level"]), str(entry["event"])
    except (ValueError, KeyError):
        return line
    facts = [
        f"{name}={value}".replace("\n", "\n    ") for name, value in entry.items() if name not in _UNSHOWN
    ]
    return " ".join([*([level.upper()] if level not in ("info", "debug") else []), event, *facts])


def show(text: str = "") -> None:
    """One line for the person at the terminal; a closed terminal is no reason to fall over."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError:
        pass
