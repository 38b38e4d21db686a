"""Reading one JSON object field by field; whatever is refused is named by its JSON pointer."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from apps.kernel.errors import DomainError, Invalid

MAX_NESTING: Final = 32
#: beyond it a number is not the same in every JSON reader; it is given as text
MAX_NUMBER: Final = (1 << 53) - 1

Choice = TypeVar("Choice", bound=StrEnum)
Refusal = TypeVar("Refusal", bound=DomainError)


class FieldMissing(Invalid):
    """A required field is absent."""

    code = "field_missing"
    title = "A field is missing"


class FieldUnknown(Invalid):
    """A field that means nothing here; most often a misspelling."""

    code = "field_unknown"
    title = "A field is not known"


class FieldInvalid(Invalid):
    """A field of the wrong type or outside its bounds."""

    code = "field_invalid"
    title = "A field is not valid"


class Reading:
    """One object of the input and where it stands in the whole."""

    def __init__(self, value: Any, pointer: str, known: Collection[str]) -> None:
        """Raise FieldInvalid unless `value` is an object, FieldUnknown for a field not in `known`."""
        if not isinstance(value, Mapping):
            raise FieldInvalid(pointer=pointer, reason="an object is expected")
        self.value = value
        self.pointer = pointer
        for name in value:
            if name not in known:
                raise FieldUnknown(pointer=self.at(str(name)[:80]), field=str(name)[:80], known=sorted(known))

    def at(self, name: str) -> str:
        """The pointer of a field."""
        return f"{self.pointer}/{escape(name)}"

    def has(self, name: str) -> bool:
        """Whether the field is given and not null."""
        return self.value.get(name) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """The field as it is, or the default where it is absent or null."""
        found = self.value.get(name)
        return default if found is None else found

    def require(self, name: str) -> Any:
        """The field; raise FieldMissing where it is absent or null."""
        if not self.has(name):
            raise FieldMissing(pointer=self.at(name), field=name)
        return self.value[name]

    def text(self, name: str, default: str | None = None, *, max_characters: int = 200) -> str:
        """A text field; raise FieldMissing where there is neither it nor a default, or FieldInvalid."""
        found = self.require(name) if default is None else self.get(name, default)
        if not isinstance(found, str) or len(found) > max_characters or not is_clean(found):
            raise FieldInvalid(
                pointer=self.at(name), reason=f"a text of at most {max_characters} characters is expected"
            )
        return found

    def flag(self, name: str, default: bool) -> bool:
        """A true or false field; raise FieldInvalid."""
        found = self.get(name, default)
        if not isinstance(found, bool):
            raise FieldInvalid(pointer=self.at(name), reason="true or false is expected")
        return found

    def choice(
        self, name: str, kinds: type[Choice], error: type[DomainError], default: Choice | None = None
    ) -> Choice:
        """A field that names one of a few things; raise FieldMissing, or `error` for another name."""
        found = self.require(name) if default is None else self.get(name, default)
        try:
            return kinds(found)
        except ValueError:
            known = [str(kind) for kind in kinds]
            raise error(pointer=self.at(name), given=str(found)[:80], known=known) from None

    def items(self, name: str) -> Sequence[Any]:
        """A list field, empty where it is absent; raise FieldInvalid."""
        found = self.get(name, ())
        if isinstance(found, str | bytes) or not isinstance(found, Sequence):
            raise FieldInvalid(pointer=self.at(name), reason="a list is expected")
        return found

    def number(self, name: str, default: int | None, error: type[DomainError], *, low: int, high: int) -> int:
        """A whole number within its bounds; raise `error` for anything else."""
        found = self.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise error(pointer=self.at(name), reason=f"a whole number from {low} to {high} is expected")
        return found


def numbered(values: Iterable[Any], pointer: str) -> Iterator[tuple[str, Any]]:
    """Each element of a list with its pointer."""
    return ((f"{pointer}/{i}", value) for i, value in enumerate(values))


def escape(name: str) -> str:
    """A name as one token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def is_clean(text: str) -> bool:
    """Whether a text can be stored and encoded: no NUL, no lone surrogate."""
    return not any(char == "\0" or 0xD800 <= ord(char) <= 0xDFFF for char in text)


def require_plain(value: Any, pointer: str) -> None:
    """Raise FieldInvalid for JSON that no store and no reader can be trusted to hand back unchanged:
    NUL or a lone surrogate in a text, a number beyond 2^53, nesting beyond 32.
    """
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_NESTING:
            raise FieldInvalid(pointer=pointer, reason=f"nested deeper than {MAX_NESTING}")
        if isinstance(item, str) and not is_clean(item):
            raise FieldInvalid(pointer=pointer, reason="a text with NUL or half a character")
        if isinstance(item, int | float) and not -MAX_NUMBER <= item <= MAX_NUMBER:
            raise FieldInvalid(pointer=pointer, reason="a number beyond 2^53; give it as text")
        if isinstance(item, Mapping):
            waiting.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, Sequence) and not isinstance(item, str | bytes):
            waiting.extend((part, depth + 1) for part in item)


def placed(error: Refusal, pointer: str) -> Refusal:
    """The same error, seen from the whole input: `pointer` goes before its own."""
    return type(error)(pointer=f"{pointer}{error.pointer or ''}", **error.fields)
