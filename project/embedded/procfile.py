"""The Procfile's processes, as honcho and foreman read them too."""

from collections.abc import Mapping
from pathlib import Path

from honcho.environ import parse_procfile

from project.embedded.supervisor import ProcessSpec


def read_procfile(path: Path, environment: Mapping[str, str]) -> list[ProcessSpec]:
    """One spec per line of the Procfile, run in the Procfile's folder, in the file's order."""
    commands: Mapping[str, str] = parse_procfile(path.read_text(encoding="utf-8")).processes
    return [
        ProcessSpec(name=name, command=command, environment=environment, folder=path.parent)
        for name, command in commands.items()
    ]
