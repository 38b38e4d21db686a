"""What can be wrong with a round, a ballot or a committee."""

from apps.kernel.errors import Conflict, Forbidden, Invalid


class BallotMalformed(Invalid):
    """A round call or ballot that does not have the shape it must have."""

    code = "ballot_malformed"
    title = "The ballot is malformed"


class RoundUnknown(Conflict):
    """No such round, or it is over."""

    code = "round_unknown"
    title = "No such open round"


class NotOnCommittee(Forbidden):
    """The voter was not drawn for this round."""

    code = "not_on_committee"
    title = "The voter is not on the committee"


class BallotRepeated(Conflict):
    """The attester has voted in this round before."""

    code = "ballot_repeated"
    title = "The attester has voted already"


class CommitteeTooSmall(Conflict):
    """Too few keepers are online to draw a committee."""

    code = "committee_too_small"
    title = "Too few attesters are online"
