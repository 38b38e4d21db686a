"""How a column's values travel in bulk: one converter per field, chosen once, applied to whole columns.

Three forms: `copy` (the text of PostgreSQL's COPY), `document` (a member of the JSON document that
json_to_recordset reads) and `parameter` (SQLite's bound values). Django's own field types have a fast
converter that gives what `Field.get_db_prep_save` would; any other field goes through that method.
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from django.db import connection, models
from psycopg import Binary
from psycopg.types.json import Json, Jsonb

Form = Literal["copy", "document", "parameter"]
Convert = Callable[[Any], Any]
#: A whole column's values, converted.
ConvertAll = Callable[[Iterable[Any]], list[Any]]

NULL: Final = "\\N"
_TEXT: Final = frozenset({"CharField", "TextField", "SlugField", "GenericIPAddressField"})
_INTEGER: Final = frozenset(
    {
        "IntegerField",
        "BigIntegerField",
        "SmallIntegerField",
        "PositiveIntegerField",
        "PositiveBigIntegerField",
        "PositiveSmallIntegerField",
        "AutoField",
        "BigAutoField",
        "SmallAutoField",
    }
)
_NEEDS_ESCAPE: Final = re.compile(r"[\\\n\r\t]")
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def converter_of(field: "models.Field[Any, Any]", form: Form) -> ConvertAll:
    """The converter of one field's values (None is allowed) into the given form."""
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    plain = _plain_converter(field, form)
    if plain is None:
        thorough = _thorough(field, form)
        return lambda values: [thorough(value) for value in values]
    missing = NULL if form == "copy" else None
    return lambda values: [missing if value is None else plain(value) for value in values]


def is_saved_by_field(field: "models.Field[Any, Any]") -> bool:
    """Whether the field itself sets its value when saved (auto_now and its like)."""
    if isinstance(field, (models.DateField, models.TimeField)):
        return field.auto_now or field.auto_now_add
    return type(field).pre_save is not models.Field.pre_save


def _plain_converter(field: "models.Field[Any, Any]", form: Form) -> Convert | None:
    if not type(field).__module__.startswith("django.db.models."):
        return None
    kind = field.get_internal_type()
    if kind in _TEXT:
        return copy_text if form == "copy" else _text
    if kind in _INTEGER:
        return _integer_text if form == "copy" else int
    if kind == "BooleanField":
        return (lambda value: "t" if value else "f") if form == "copy" else bool
    if kind == "UUIDField":
        return _uuid_hex if form == "parameter" else _uuid_text
    if kind == "DateTimeField" and (form != "parameter" or connection.timezone is UTC):
        return _naive_text if form == "parameter" else _time_text
    if kind == "JSONField" and getattr(field, "encoder", None) is None:
        return _JSON[form]
    return None


def copy_text(value: Any) -> str:
    """The text escaped for COPY."""
    text = value if type(value) is str else str(value)
    return text.translate(_ESCAPES) if _NEEDS_ESCAPE.search(text) else text


def _text(value: Any) -> str:
    return value if type(value) is str else str(value)


def _integer_text(value: Any) -> str:
    return str(int(value))


def _uuid_text(value: Any) -> str:
    return str(value if isinstance(value, UUID) else UUID(value))


def _uuid_hex(value: Any) -> str:
    return (value if isinstance(value, UUID) else UUID(value)).hex


def _time_text(value: datetime) -> str:
    return _aware(value).isoformat()


def _naive_text(value: datetime) -> str:
    return str(_aware(value).astimezone(UTC).replace(tzinfo=None))


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a naive datetime has no place in the database")
    return value


def _json_copy(value: Any) -> str:
    return copy_text(json.dumps(value))


_JSON: Final[dict[Form, Convert]] = {
    "copy": _json_copy,
    "document": lambda value: value,
    "parameter": json.dumps,
}


def _thorough(field: "models.Field[Any, Any]", form: Form) -> Convert:
    """Through the field's own preparation, then into the form."""

    def convert(value: Any) -> Any:
        prepared = field.get_db_prep_save(value, connection)
        if form == "parameter":
            return prepared
        if prepared is None:
            return NULL if form == "copy" else None
        if form == "document" and isinstance(prepared, (Json, Jsonb)):
            return json.loads(_prepared_text(prepared))
        text = _prepared_text(prepared)
        return copy_text(text) if form == "copy" else text

    return convert


def _prepared_text(value: Any) -> str:
    """The input text PostgreSQL takes for an adapted value of any type."""
    if isinstance(value, (Json, Jsonb)):
        return str((value.dumps or json.dumps)(value.obj))
    if isinstance(value, Binary):
        return _prepared_text(value.obj)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if isinstance(value, (str, int, float, Decimal, UUID)):
        return str(value)
    raise TypeError(f"no bulk form for {type(value).__name__}")
