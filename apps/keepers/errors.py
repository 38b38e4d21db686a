"""What can be wrong with a keeper, its registration or its check-in."""

from apps.kernel.errors import Conflict, Forbidden, Invalid, NotFound


class KeeperMessageMalformed(Invalid):
    """A registration or check-in that does not have the shape it must have. Fields: message, reason."""

    code = "keeper_message_malformed"
    title = "The keeper's message is malformed"


class KeeperUnknown(NotFound):
    """No keeper with this address is registered. Fields: address."""

    code = "keeper_unknown"
    title = "No such keeper"


class KeeperRetired(Conflict):
    """The keeper has left for good. Fields: address."""

    code = "keeper_retired"
    title = "The keeper has retired"


class CheckinReplayed(Conflict):
    """The nonce is not above the last one used. Fields: nonce, last_nonce."""

    code = "checkin_replayed"
    title = "The message has been used before"


class CheckinStale(Invalid):
    """The message's time is too far from now. Fields: timestamp, now, window_seconds."""

    code = "checkin_stale"
    title = "The message's time is too far from now"


class PossessionInvalid(Forbidden):
    """The BLS key is malformed, or its possession is not proved for this address."""

    code = "possession_invalid"
    title = "Possession of the BLS key is not proved"


class BlsKeyForeign(Conflict):
    """The BLS key differs from the one on chain, or belongs to another keeper. Fields: reason."""

    code = "bls_key_foreign"
    title = "The BLS key is not this keeper's"


class StakeTooSmall(Conflict):
    """The keeper's stake on chain does not reach the minimum. Fields: stake_units, required_units."""

    code = "stake_too_small"
    title = "The keeper's stake is too small"


class RegistryUnreachable(Conflict):
    """The chain cannot be asked about the keeper's stake now; the same request may succeed later.

    Fields: reason. Answered with 503.
    """

    code = "registry_unreachable"
    title = "The keeper registry cannot be reached"


class FilterInvalid(Invalid):
    """A query parameter with a value it cannot have. Fields: expected."""

    code = "filter_invalid"
    title = "The filter is not valid"
