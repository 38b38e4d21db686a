"""What the sandbox refuses, and why one cannot be had. A script's own failure is a result, not an error."""

from apps.kernel.errors import DomainError, Invalid


class SandboxUnavailable(DomainError):
    """No engine can hold a script on this machine; `reasons` says why, engine by engine."""

    code = "sandbox_unavailable"
    title = "No sandbox can be had on this machine"


class SandboxBroken(DomainError):
    """A jail died, or never came up, before the script began: the machine's fault, not the script's."""

    code = "sandbox_broken"
    title = "The sandbox failed before the script began"


class SandboxRequestInvalid(Invalid):
    """A request that no jail takes: an unknown language, a bad input name, a limit out of bounds."""

    code = "sandbox_request_invalid"
    title = "The request is nothing a sandbox can run"


class ScriptOutputInvalid(Invalid):
    """A script's output that is not exactly one JSON document with a canonical form."""

    code = "script_not_json"
    title = "The script did not print one JSON document"
