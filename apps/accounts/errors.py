"""What accounts refuses."""

from apps.kernel.errors import Conflict, DomainError, Forbidden, Invalid, NotFound


class Unauthenticated(DomainError):
    """No key, or one that is unknown, revoked or expired; the answer never says which."""

    code = "unauthenticated"
    title = "A valid API key is needed"


class ProjectNameInvalid(Invalid):
    """A name or slug that cannot be used. Fields: reason."""

    code = "project_name_invalid"
    title = "The project's name cannot be used"


class SlugTaken(Conflict):
    """Another project has this slug. Fields: slug."""

    code = "slug_taken"
    title = "Another project has this slug"


class ProjectUnknown(NotFound):
    """No such project, or none the caller may see."""

    code = "project_unknown"
    title = "No such project"


class ProjectInactive(Conflict):
    """The project is switched off: its keys do not work and nothing new starts in it."""

    code = "project_inactive"
    title = "The project is not active"


class KeyUnknown(NotFound):
    """No such key, or none the caller may see."""

    code = "key_unknown"
    title = "No such key"


class KeyInvalid(Invalid):
    """A key's definition that cannot be accepted. Fields: reason."""

    code = "key_invalid"
    title = "The key cannot be issued as described"


class ScopeUnknown(Invalid):
    """A scope that does not exist. Fields: scope."""

    code = "scope_unknown"
    title = "No such scope"


class ScopesExceeded(Forbidden):
    """A key that would hold more than the caller does. Fields: scopes."""

    code = "scopes_exceeded"
    title = "A key cannot hold more than its issuer"
