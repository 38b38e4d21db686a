"""What speculation refuses."""

from apps.kernel.errors import Conflict, Forbidden, Invalid

# Projects and jobs refuse it too, and lie below.
from apps.kernel.speculation import SpeculationLimitsInvalid as SpeculationLimitsInvalid


class DependencyUnknown(Invalid):
    """A graph is asked about a task it does not hold. Fields: task."""

    code = "dependency_unknown"
    title = "The dependency names an unknown task"


class TaskRepeated(Invalid):
    """A task is put twice into one graph. Fields: task."""

    code = "task_repeated"
    title = "The task is already in the graph"


class BondTermsInvalid(Invalid):
    """Terms whose bonds could not be computed or posted. Fields: field, value, reason."""

    code = "bond_terms_invalid"
    title = "The terms of bonds are not valid"


class BondTooSmall(Conflict):
    """A commitment offered with less than its bond. Fields: required, offered (units)."""

    code = "bond_too_small"
    title = "The bond is too small"


class SharesInvalid(Invalid):
    """Shares of a slash that do not add up or name the slashed keeper. Fields: reason."""

    code = "slash_shares_invalid"
    title = "The shares of the slash are not valid"


class CommitmentForeign(Forbidden):
    """A keeper speaks for a commitment of another one. Fields: task, producer, keeper."""

    code = "commitment_foreign"
    title = "The commitment is another keeper's"


class CommitmentStale(Conflict):
    """A word about an attempt that is over. Fields: task, epoch, current."""

    code = "commitment_stale"
    title = "The commitment is of an earlier attempt"


class LineageBroken(Conflict):
    """A result made of something else than its parents' outputs. Fields: parent, claimed, current."""

    code = "lineage_broken"
    title = "The result does not stand on its parents' outputs"
