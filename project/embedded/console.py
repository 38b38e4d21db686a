"""Where the processes' lines go: the terminal with the process's name before each, and a log file each."""

import json
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

_COLOURS: Final = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
_NAME_WIDTH: Final = 8
_UNSHOWN: Final = frozenset({"event", "level", "logger", "timestamp", "trace_id", "span_id"})
_KEEP_BYTES: Final = 5_000_000
#: facts that are many lines by nature; each of these is shown on a line of its own
_LONG: Final = frozenset({"exception", "stack"})
#: what a character is that moves a terminal's cursor, colours it, turns its writing round or breaks a line
_CONTROLS: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

#: everyday events, many a second: only their log files have them
_EVERYDAY: Final = frozenset({"request", "answer came late"})
#: loggers whose news is none for a person: libraries', and Django's second line about a refused request
_LIBRARIES: Final = (
    "celery",
    "django.request",
    "django_celery_beat",
    "flower",
    "kombu",
    "py.warnings",
    "tornado",
)
#: processes whose other lines are banners and warnings of Celery's; a crash is said by the supervisor
_CELERY: Final = frozenset({"worker", "prove", "notices", "beat", "keepers", "flower"})


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
        self._heard: Counter[tuple[str, str]] = Counter()

    def __call__(self, name: str, line: str) -> None:
        """Keep one line, and show it where a person wants to know."""
        self._write_file(name, line)
        entry = _entry_of(line)
        self._heard[name, _event_of(line, entry)] += 1
        if self._is_quiet or name in self._hidden or not is_news(name, entry) or line.startswith("INFO "):
            return
        head = f"{time.strftime('%H:%M:%S')} {name:<{_NAME_WIDTH}}|"
        if self._is_coloured:
            head = f"\033[{_COLOURS[list(self._files).index(name) % len(_COLOURS)]}m{head}\033[0m"
        show(f"{head} {readable(line)}")

    def hush(self) -> None:
        """From now on only write the log files."""
        self._is_quiet = True

    def count_heard(self, name: str, event: str) -> int:
        """How often a process has said this since the start; `ready` is how Celery's workers put it."""
        return self._heard[name, event]

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


def is_news(name: str, entry: Mapping[str, Any] | None) -> bool:
    """Whether a process's line (a JSON log line's `entry`, None for another one) is for the terminal too."""
    if entry is None:
        return name not in _CELERY
    if entry["event"] in _EVERYDAY:
        return False
    is_library = str(entry.get("logger", "")).startswith(_LIBRARIES)
    return not is_library or entry["level"] in ("error", "critical")


def readable(line: str) -> str:
    """A JSON log line as a person reads it: its level where it matters, the event, the facts.

    What would steer the terminal is spelled out: much of it comes from outside.
    """
    entry = _entry_of(line)
    if entry is None:
        return escaped(line)
    level = str(entry["level"])
    facts = [
        f"{escaped(name)}={_shown(name, str(value))}" for name, value in entry.items() if name not in _UNSHOWN
    ]
    event = escaped(str(entry["event"]))
    return " ".join([*([escaped(level.upper())] if level not in ("info", "debug") else []), event, *facts])


def escaped(text: str) -> str:
    """The text with every control, formatting and line-breaking character spelled out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        ascii(character)[1:-1] if unicodedata.category(character) in _CONTROLS else character
        for character in text
    )


def _shown(name: str, value: str) -> str:
    if name not in _LONG:
        return escaped(value)
    return "".join(f"\n    {escaped(part)}" for part in value.split("\n"))


def _entry_of(line: str) -> dict[str, Any] | None:
    """The facts of a JSON log line; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.keys() >= {"event", "level"} else None


def _event_of(line: str, entry: Mapping[str, Any] | None) -> str:
    text = line if entry is None else str(entry["event"])
    return "ready" if text.endswith(" ready.") else text[:80] if entry is not None else ""


def show(text: str = "") -> None:
    """One line for the person at the terminal; a closed terminal is no reason to fall over."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError:
        pass
