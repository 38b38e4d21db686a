"""Answers already given, kept on disk: the same question gets the same signed answer, also after kill -9.

An append-only file of JSON lines; the newest `capacity` answers are indexed by offset, so memory holds no
bodies. A torn last line (killed while writing) is ignored. One file belongs to one process.
"""

import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

CAPACITY: Final = 2_000
_log = logging.getLogger("forekeep.keeper.answers")


class AnswerBook:
    """Signed answers by key. Safe to share between threads."""

    def __init__(self, path: Path, capacity: int = CAPACITY) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._capacity = capacity
        self._lock = threading.Lock()
        self._index: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._file = path.open("a+b", buffering=0)
        self._lines = 0
        self._end = 0
        self._load()

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer given for this key; None where there is none, or none any more."""
        with self._lock:
            place = self._index.get(key)
            raw = os.pread(self._file.fileno(), place[1], place[0]) if place else b""
        parsed = _parse(raw)
        return parsed[1] if parsed and parsed[0] == key else None

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer. A disk that takes no more is logged: the answer still goes out, once."""
        line = json.dumps([key, answer], separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                if self._lines >= 2 * self._capacity:
                    self._compact()
                self._append(key, line)
            except OSError as exc:
                _log.error("answer not kept", extra={"facts": {"key": key, "reason": str(exc)}})

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _append(self, key: str, line: bytes) -> None:
        written = os.write(self._file.fileno(), line)
        if written != len(line):
            os.ftruncate(self._file.fileno(), self._end)
            raise OSError("the disk is full")
        self._index[key] = (self._end, len(line))
        self._index.move_to_end(key)
        self._end += len(line)
        self._lines += 1
        if len(self._index) > self._capacity:
            self._index.popitem(last=False)

    def _load(self) -> None:
        """Index what is there; cut off a torn tail so that the next line starts on its own."""
        self._end = 0
        for raw in _lines(self._path):
            parsed = _parse(raw)
            if parsed is not None:
                self._index[parsed[0]] = (self._end, len(raw))
                self._index.move_to_end(parsed[0])
            self._lines += 1
            self._end += len(raw)
        os.ftruncate(self._file.fileno(), self._end)
        while len(self._index) > self._capacity:
            self._index.popitem(last=False)

    def _compact(self) -> None:
        """Rewrite the file with what the index still knows, and swap it in as a whole."""
        draft = self._path.with_name(f".{self._path.name}.draft")
        kept: OrderedDict[str, tuple[int, int]] = OrderedDict()
        end = 0
        with draft.open("wb") as out:
            for key, (offset, length) in self._index.items():
                out.write(os.pread(self._file.fileno(), length, offset))
                kept[key] = (end, length)
                end += length
        os.replace(draft, self._path)
        self._file.close()
        self._file = self._path.open("a+b", buffering=0)
        self._index, self._lines, self._end = kept, len(kept), end


def _lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file."""
    with path.open("rb") as file:
        yield from (raw for raw in file if raw.endswith(b"\n"))


def _parse(raw: bytes) -> tuple[str, dict[str, Any]] | None:
    try:
        key, answer = json.loads(raw)
    except (ValueError, TypeError):
        return None
    return (key, answer) if isinstance(key, str) and isinstance(answer, dict) else None
