"""The folder an open sandbox lives in: the programs, and one read-only work folder per jail.

It vanishes on close. What a killed keeper left is swept by the next one that opens a sandbox: an owner
keeps its folder locked (flock), which also tells systemd-tmpfiles to let it be.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from workers.keeper.sandbox.errors import SandboxBroken

_PREFIX: Final = "forekeep-sandbox-"
#: The name until the lock is held, so that no other keeper's sweep takes it for a leftover.
_UNLOCKED_PREFIX: Final = ".forekeep-sandbox-"
_PUBLIC_FOLDER: Final = 0o755
_GROUP_FOLDER: Final = 0o750
_PUBLIC_FILE: Final = 0o644


class Scratch:
    """One sandbox's folder. `is_shared` lets another uid (the jails') pass through, not list, it.

    Work folders then belong to that uid's `group` and to nobody else, where one is given.
    """

    def __init__(self, *, is_shared: bool, group: int | None = None, parent: Path | None = None) -> None:
        self._group = group
        parent = parent or _find_parent(is_shared)
        _sweep(parent)
        fresh = Path(tempfile.mkdtemp(prefix=_UNLOCKED_PREFIX, dir=parent))
        self._lock = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.root = fresh.rename(parent / fresh.name.replace(_UNLOCKED_PREFIX, _PREFIX))
        self.root.chmod(0o711 if is_shared else 0o700)
        self._numbers = itertools.count()

    def add_file(self, name: str, data: bytes) -> Path:
        """A file the jails may read."""
        path = self.root / name
        path.write_bytes(data)
        path.chmod(_PUBLIC_FILE)
        return path

    def add_work(self) -> Path:
        """A fresh work folder, empty but for its `inputs`; raises SandboxBroken where there is no room."""
        path = self.root / f"work-{next(self._numbers)}"
        try:
            for folder in (path, path / "inputs"):
                folder.mkdir()
                folder.chmod(_PUBLIC_FOLDER)
            if self._group is not None:
                os.chown(path, -1, self._group)
                path.chmod(_GROUP_FOLDER)
        except OSError as exc:
            raise SandboxBroken(reason=f"work folder: {os.strerror(exc.errno or 0)}") from exc
        return path

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)
        os.close(self._lock)


def fill_inputs(work: Path, inputs: Mapping[str, bytes]) -> None:
    """Write a job's inputs where its jail sees them; raises SandboxBroken where there is no room."""
    try:
        for name, data in inputs.items():
            path = work / "inputs" / name
            path.write_bytes(data)
            path.chmod(_PUBLIC_FILE)
    except OSError as exc:
        raise SandboxBroken(reason=f"inputs: {os.strerror(exc.errno or 0)}") from exc


def fill_script(work: Path, name: str, data: bytes) -> None:
    """Write a job's script beside its inputs, for a runtime that reads it from a file; as `fill_inputs`."""
    try:
        path = work / name
        path.write_bytes(data)
        path.chmod(_PUBLIC_FILE)
    except OSError as exc:
        raise SandboxBroken(reason=f"script: {os.strerror(exc.errno or 0)}") from exc


def is_open_to_others(path: Path) -> bool:
    """Whether any uid may read this file, or list this folder, going by mode bits alone."""
    for parent in path.parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            return False
    mode = path.stat().st_mode
    return bool(mode & stat.S_IROTH) and (not stat.S_ISDIR(mode) or bool(mode & stat.S_IXOTH))


def _find_parent(is_shared: bool) -> Path:
    """The usual temporary folder, or another one where jails of another uid could not reach it."""
    usual = Path(tempfile.gettempdir())
    if not is_shared:
        return usual
    candidates = (usual, Path("/tmp"), Path("/var/tmp"), Path("/run"))
    return next((path for path in candidates if path.is_dir() and is_open_to_others(path)), usual)


def _sweep(parent: Path) -> None:
    """Remove the folders of keepers that are gone: those whose lock can be had."""
    for path in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid != os.geteuid():
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)
