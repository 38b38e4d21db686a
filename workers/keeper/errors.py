"""What stops a node's work: a failure that is the task's own, or the outside world that may recover."""

from apps.content.errors import ContentStoreFull, ContentUnavailable
from apps.kernel.errors import Conflict, DomainError, Forbidden, Invalid
from workers.keeper.sandbox.errors import SandboxBroken


class AssignmentForeign(Forbidden):
    """The assignment or call is addressed to another keeper. Fields: keeper."""

    code = "assignment_foreign"
    title = "The assignment is for another keeper"


class AssignmentExpired(Conflict):
    """The assignment or call came after its time. Fields: expires_at."""

    code = "assignment_expired"
    title = "The assignment has expired"


class OwnResult(Conflict):
    """A performer is never its own attester (invariant 19). Fields: task."""

    code = "own_result"
    title = "A keeper does not attest its own result"


class ParentReceiptMissing(Conflict):
    """No receipt of a success came of exactly the attempt a step awaits. Fields: step, reason."""

    code = "parent_receipt_missing"
    title = "A parent's receipt is missing"


class ParentReceiptForged(Forbidden):
    """A receipt of an awaited attempt that is not its keeper's word, or contradicts itself. Fields: step."""

    code = "parent_receipt_forged"
    title = "A parent's receipt is forged"


class StatementImpossible(Invalid):
    """The circuit asked for cannot take this run, or the result lacks what it binds. Fields: reason."""

    code = "statement_impossible"
    title = "No statement can be made of the result"


class ParametersInvalid(Invalid):
    """A specification this node cannot carry out. Fields: reason; pointer into the specification."""

    code = "parameters_invalid"
    title = "The task's parameters are not valid"


class LanguageUnavailable(Conflict):
    """A script in a language this machine cannot run; another keeper may. Fields: language, runs."""

    code = "language_unavailable"
    title = "This keeper does not run the script's language"


class TaskFailed(Exception):
    """The task itself failed, with a stable code: that is a result, to be reported in a signed receipt."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail[:500]


class WorkAborted(Exception):
    """The work was stopped from outside: there is nothing to report."""


class ChainUnavailable(DomainError):
    """The chain's RPC does not answer, or not with sense; trying again may help. Fields: reason."""

    code = "chain_unavailable"
    title = "The chain cannot be reached"


class BlockUnavailable(DomainError):
    """The chain's node has no state for this block. Fields: block."""

    code = "block_unavailable"
    title = "The block's state is gone"


class ControlPlaneRefused(DomainError):
    """The control plane answered a registration or check-in with a refusal. Fields: status, reason."""

    code = "control_plane_refused"
    title = "The control plane refused the message"


#: What only time or another machine can cure: the work is tried again, and nothing is reported.
OUTSIDE: tuple[type[DomainError], ...] = (
    ChainUnavailable,
    ContentUnavailable,
    ContentStoreFull,
    SandboxBroken,
)
