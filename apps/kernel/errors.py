"""The one root of every error the domain raises: a fact with fields, never a sentence to parse.

A subclass sets `code` (stable, snake_case, part of the API) and declares its fields as annotations;
`project/errors.py` alone maps errors to HTTP.
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """A refused request or a broken rule, as a fact.

    Fields are given by keyword and are readable as attributes; `pointer` (a JSON pointer into the
    request body, such as `/schedule/cron`) says which part of the input was refused, where one was.
    """

    code: ClassVar[str] = "domain_error"
    title: ClassVar[str] = "The request breaks a rule"

    def __init__(self, *, pointer: str | None = None, **fields: Any) -> None:
        self.pointer = pointer
        self.fields = fields
        super().__init__(self.code)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"{self.code}({facts})"


class Invalid(DomainError):
    """Input that can never be accepted as it stands."""

    code = "invalid"
    title = "The input is not valid"


class NotFound(DomainError):
    """No such thing, or none the caller may see."""

    code = "not_found"
    title = "Not found"


class Conflict(DomainError):
    """The thing has moved on since the caller looked."""

    code = "conflict"
    title = "The resource is in another state"


class PreconditionFailed(Conflict):
    """The caller's `If-Match` names another version of the thing. Fields: expected, found."""

    code = "precondition_failed"
    title = "The resource has changed since it was read"


class Forbidden(DomainError):
    """The caller is known and may not do this."""

    code = "forbidden"
    title = "Not allowed"
