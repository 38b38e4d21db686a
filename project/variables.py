"""How one environment variable becomes one typed, checked field.

A section is a frozen dataclass; a field's type says how its text is read and its metadata says what
else must hold. A value that does not fit raises `SettingInvalid`, which names the variable, what was
given and what is expected; the text of a secret is never repeated.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints
from urllib.parse import urlsplit

from apps.kernel.errors import Invalid

Section = TypeVar("Section")

_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off", ""})


class SettingInvalid(Invalid):
    """A setting that is missing or cannot be used: variable, given, expected."""

    code = "setting_invalid"
    title = "A setting is not valid"

    def __str__(self) -> str:
        """The one line an operator reads."""
        return f"{self.variable}: {self.given}; expected {self.expected}"


def variable(
    default: Any = MISSING,
    *,
    name: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    schemes: tuple[str, ...] = (),
    min_length: int = 0,
    is_secret: bool = False,
) -> Any:
    """Declare a field: its default (`{home}` in a text is replaced), its variable and its bounds.

    Without `name` the variable is `FOREKEEP_<SECTION>_<FIELD>`. A secret is left out of `repr`.
    """
    rules = {
        "name": name,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "schemes": schemes,
        "min_length": min_length,
        "is_secret": is_secret,
    }
    return field(default=default, repr=not is_secret, metadata=rules)


def read_section(kind: type[Section], name: str, environ: Mapping[str, str], home: Path) -> Section:
    """Build one section from the environment; raise SettingInvalid for the first bad value."""
    hints = get_type_hints(kind)
    values = {
        item.name: _read_field(item, hints[item.name], name, environ, home)
        for item in fields(kind)  # type: ignore[arg-type]
    }
    return kind(**values)


def variable_name(section: str, item: "Field[Any]") -> str:
    """The environment variable a field of a section is read from."""
    return item.metadata.get("name") or f"FOREKEEP_{section}_{item.name}".upper()


def read_env_file(path: Path) -> dict[str, str]:
    """Parse `KEY=VALUE` lines (`#` comments, optional quotes); an absent file is an empty one."""
    if not path.is_file():
        return {}
    values: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip().isidentifier():
            raise SettingInvalid(
                variable=str(path), given=f"line {number} is not KEY=VALUE", expected="KEY=VALUE lines"
            )
        values[key.strip()] = _unquote(value.strip())
    return values


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _read_field(item: "Field[Any]", hint: Any, section: str, environ: Mapping[str, str], home: Path) -> Any:
    name = variable_name(section, item)
    rules = item.metadata
    text = environ.get(name)
    if text is None:
        if item.default is MISSING:
            raise SettingInvalid(variable=name, given="it is not set", expected=_expected(hint, rules))
        return _with_home(item.default, hint, home)

    def refuse() -> SettingInvalid:
        shown = f"a text of {len(text)} characters" if rules.get("is_secret") else repr(text)
        return SettingInvalid(variable=name, given=f"{shown} was given", expected=_expected(hint, rules))

    try:
        value = _reader_of(hint)(text)
    except ValueError:
        raise refuse() from None
    if not _is_within(value, rules):
        raise refuse()
    return value


def _with_home(default: Any, hint: Any, home: Path) -> Any:
    if not isinstance(default, str):
        return default
    return _reader_of(hint)(default.replace("{home}", str(home)))


def _reader_of(hint: Any) -> Callable[[str], Any]:
    readers: dict[Any, Callable[[str], Any]] = {
        int: _read_int,
        float: float,
        bool: _read_bool,
        str: str,
        Path: _read_path,
        str | None: lambda text: text or None,
        Path | None: lambda text: _read_path(text) if text else None,
        tuple[str, ...]: _read_list,
        tuple[Path, ...]: lambda text: tuple(_read_path(part) for part in _read_list(text)),
    }
    return readers[hint]


def _read_int(text: str) -> int:
    if not text.strip().lstrip("-").isdecimal():
        raise ValueError(text)
    return int(text)


def _read_bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in _YES | _NO:
        raise ValueError(text)
    return lowered in _YES


def _read_path(text: str) -> Path:
    if not text.strip():
        raise ValueError(text)
    return Path(text).expanduser().absolute()


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _is_within(value: Any, rules: Mapping[str, Any]) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = rules.get("minimum"), rules.get("maximum")
        return math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)
    if isinstance(value, str):
        if rules.get("choices") and value not in rules["choices"]:
            return False
        if rules.get("schemes") and not _has_scheme(value, rules["schemes"]):
            return False
        return len(value) >= int(rules.get("min_length", 0))
    return True


def _has_scheme(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes


def _expected(hint: Any, rules: Mapping[str, Any]) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        bool: "one of 1, 0, true, false, yes, no, on, off",
        Path: "a path",
        tuple[str, ...]: "a comma-separated list",
        tuple[Path, ...]: "a comma-separated list of paths",
    }
    if rules.get("choices"):
        return "one of " + ", ".join(rules["choices"])
    if rules.get("schemes"):
        return "a URL that starts with " + " or ".join(f"{scheme}:" for scheme in rules["schemes"])
    if rules.get("min_length"):
        return f"a text of at least {rules['min_length']} characters"
    low, high = rules.get("minimum"), rules.get("maximum")
    bounds = " to ".join(str(bound) for bound in (low, high) if bound is not None)
    if low is not None and high is not None:
        return f"{names.get(hint, 'a number')} from {bounds}"
    if low is not None:
        return f"{names.get(hint, 'a number')} of at least {bounds}"
    return str(names.get(hint, "a text"))
