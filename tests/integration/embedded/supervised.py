"""A small supervisor over a throw-away Procfile, run as a program by the tests beside it."""

import dataclasses
import os
import sys
from pathlib import Path

from project.embedded.home import lock_home
from project.embedded.procfile import read_procfile
from project.embedded.supervisor import Supervisor


def main(folder: Path, grace_seconds: float) -> int:
    """Run the folder's Procfile until asked to stop; print `name | line`."""

    def show(name: str, line: str) -> None:
        sys.stdout.write(f"{name} | {line}\n")
        sys.stdout.flush()

    lock = lock_home(folder)
    with Supervisor(output=show, kept_fd=lock, is_tied_to_parent="TIED" in os.environ) as supervisor:
        for spec in read_procfile(folder / "Procfile", os.environ):
            supervisor.start(dataclasses.replace(spec, grace_seconds=grace_seconds))
        show("system", "ready")
        supervisor.run_until(lambda: False)
        show("system", f"stopping: {supervisor.stop_reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
