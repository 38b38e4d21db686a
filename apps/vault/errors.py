"""What the vault refuses. No error ever carries a value, whole or in part (invariant 27)."""

from apps.kernel.errors import Conflict, Invalid, NotFound


class SecretNameInvalid(Invalid):
    """A name that cannot be used. Fields: reason. What was given is not repeated: it may be the value."""

    code = "secret_name_invalid"
    title = "The secret's name cannot be used"


class SecretValueInvalid(Invalid):
    """A value that cannot be kept. Fields: reason."""

    code = "secret_value_invalid"
    title = "The secret's value cannot be kept"


class SecretNotFound(NotFound):
    """No such secret, or none the caller may see."""

    code = "secret_not_found"
    title = "No such secret"


class SecretUnknown(Invalid):
    """Something refers to a secret that the project does not have. Fields: name."""

    code = "secret_unknown"
    title = "The project has no secret of this name"


class SecretUnreadable(Conflict):
    """What is stored cannot be opened with any key of this deployment, or was sealed for another purpose."""

    code = "secret_unreadable"
    title = "The secret cannot be read; put it again"
