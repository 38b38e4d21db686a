"""What can be wrong with an assignment, an acknowledgement or a receipt."""

from apps.kernel.errors import Conflict, Invalid


class MessageMalformed(Invalid):
    """A message body that does not have the shape it must have."""

    code = "message_malformed"
    title = "The message is malformed"


class AssignmentUnknown(Conflict):
    """No such lease was ever given for this task."""

    code = "lease_unknown"
    title = "No such lease"


class EpochStale(Conflict):
    """The task has moved to a later attempt."""

    code = "epoch_stale"
    title = "The attempt is over"


class LeaseClosed(Conflict):
    """The lease has ended (expired, revoked, or answered before with something else)."""

    code = "lease_closed"
    title = "The lease has ended"


class LeaseForeign(Conflict):
    """The lease belongs to another keeper."""

    code = "lease_foreign"
    title = "The lease is another keeper's"


class ParentNotRecorded(Conflict):
    """A receipt that stands on a parent whose own receipt is not recorded yet; it is asked for again."""

    code = "parent_not_recorded"
    title = "The parent's receipt is not here yet"


class ReceiptInvalid(Invalid):
    """A receipt whose result contradicts itself or the assignment."""

    code = "receipt_invalid"
    title = "The receipt is not valid"


class OutputHashMismatch(Invalid):
    """The output hash is not the digest of the output's CID."""

    code = "output_hash_mismatch"
    title = "The output hash does not match the output"


class ActionArgumentsMissing(Invalid):
    """Dynamic arguments are asked for, and the script's output has no list of them."""

    code = "action_arguments_missing"
    title = "The output carries no arguments"


class ActionArgumentsInvalid(Invalid):
    """Arguments that do not fit the action's function. Fields: reason, type."""

    code = "action_arguments_invalid"
    title = "The arguments do not fit the action's function"


class ActionAbiInvalid(Invalid):
    """The action's ABI entry describes no callable function. Fields: reason."""

    code = "action_abi_invalid"
    title = "The action's ABI entry is not valid"


class ActionCalldataInvalid(Invalid):
    """Call data that is not hex, too long, or not a call of the action's function. Fields: reason."""

    code = "action_calldata_invalid"
    title = "The call data is not a call of the action's function"


class ActionDecisionInvalid(Invalid):
    """A deciding script whose `should_execute` is neither true nor false; a custom one has to say."""

    code = "action_decision_invalid"
    title = "The script's decision is neither yes nor no"


class ActionTargetRefused(Invalid):
    """A custom script's `target` that is not among the contracts its job may call."""

    code = "action_target_refused"
    title = "The script may not call this contract"


class ActionInvalid(Invalid):
    """An action no hub can carry out: no address, a value in coin, no gas limit. Fields: reason."""

    code = "action_invalid"
    title = "The action is not valid"
