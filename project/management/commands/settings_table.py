"""`manage.py settings_table`: every setting with its variable, default and meaning, as Markdown."""

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from django.core.management.base import BaseCommand

from project.env import Settings
from project.variables import variable_name

_KINDS: Final[dict[Any, str]] = {
    bool: "`true` or `false`",
    Path: "a path",
    tuple[str, ...]: "comma-separated",
    tuple[Path, ...]: "paths, comma-separated",
}


class Command(BaseCommand):
    """Prints what `docs/settings.md` holds; a test keeps the two the same."""

    help = "Print every setting as a Markdown document."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the document."""
        self.stdout.write(render_settings(), ending="")


def render_settings() -> str:
    """The document: one table per section of `project/env.py`."""
    lines = [
        "# Settings",
        "",
        "Read once at start from the environment, then from `$FOREKEEP_HOME/forekeep.env` (the environment",
        "wins). A bad or missing value stops the start and names the variable. `{home}` is `FOREKEEP_HOME`,",
        "by default `var/` in the repository. Written by `python manage.py settings_table`.",
    ]
    for section, kind in get_type_hints(Settings).items():
        if section == "home":
            continue
        lines += ["", f"## {section}", "", str(kind.__doc__).strip(), ""]
        lines += ["| variable | default | allowed |", "|---|---|---|"]
        hints = get_type_hints(kind)
        lines += [_row(section, item, hints[item.name]) for item in fields(kind)]
    return "\n".join(lines) + "\n"


def _row(section: str, item: "Field[Any]", hint: Any) -> str:
    return f"| `{variable_name(section, item)}` | {_default(item)} | {_allowed(item, hint)} |"


def _default(item: "Field[Any]") -> str:
    if item.default is MISSING:
        return "**required**"
    if item.default is None or item.default == "":
        return "none"
    return f"`{item.default}`"


def _allowed(item: "Field[Any]", hint: Any) -> str:
    rules = item.metadata
    low, high = rules.get("minimum"), rules.get("maximum")
    if rules.get("choices"):
        return ", ".join(f"`{choice}`" for choice in rules["choices"])
    if rules.get("schemes"):
        return ", ".join(f"`{scheme}:`" for scheme in rules["schemes"])
    if rules.get("min_length"):
        return f"at least {rules['min_length']} characters"
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"{low} or more"
    return _KINDS.get(hint, "text")
