"""Refusals of triggers: codes are part of the API, pointers name the refused part of the body."""

from apps.kernel.errors import Invalid

# --- events -------------------------------------------------------------------------------------------


class EventSignatureInvalid(Invalid):
    """A text or an ABI entry that describes no event: reason."""

    code = "event_signature_invalid"
    title = "The event's signature is not valid"


class EventNotInAbi(Invalid):
    """The ABI has no such event: event, or reason where it is no ABI at all."""

    code = "event_not_in_abi"
    title = "The event is not in the ABI"


class EventAnonymous(Invalid):
    """An anonymous event: its logs cannot be told from others."""

    code = "event_anonymous"
    title = "Anonymous events cannot be watched"


class TopicCountInvalid(Invalid):
    """More indexed arguments than a log has topics: found, limit."""

    code = "topic_count_invalid"
    title = "An event has at most three indexed arguments"


class FilterUnknown(Invalid):
    """A filter on an argument the event does not have: argument, known."""

    code = "filter_unknown"
    title = "The event has no such argument"


class FilterInvalid(Invalid):
    """A filter that cannot be met or means nothing for its argument's type: reason, type."""

    code = "filter_invalid"
    title = "The filter is not valid"


class ChainUnknown(Invalid):
    """No such chain is watched here: chain_id, known."""

    code = "event_chain_unknown"
    title = "The chain is not known here"


class ConfirmationsInvalid(Invalid):
    """Not a whole number of blocks within bounds: reason."""

    code = "confirmations_invalid"
    title = "The number of confirmations is not valid"


class ValueNotNumber(Invalid):
    """Neither a number nor a number as decimal text. Field: given."""

    code = "value_not_number"
    title = "The value is no number"


class ValueNotFinite(Invalid):
    """Not a number or an infinity."""

    code = "value_not_finite"
    title = "The value is not finite"


class ValueOutOfRange(Invalid):
    """More digits or a larger exponent than values are compared with."""

    code = "value_out_of_range"
    title = "The value is out of range"


class SourceNotJson(Invalid):
    """What a source answered is no JSON that every reader reads alike. Field: reason."""

    code = "source_not_json"
    title = "The source's answer is not JSON"


class RouteInvalid(Invalid):
    """Neither a JSONPath (RFC 9535) nor a dotted route, or one whose work has no bound. Field: reason."""

    code = "route_invalid"
    title = "The route is not valid"


class RouteMatchesNothing(Invalid):
    """The route leads to nothing in this document. Field: route."""

    code = "route_matches_nothing"
    title = "The route matches nothing"


class RouteMatchesMany(Invalid):
    """The route leads to several values where one is needed. Fields: route, count (counted up to a bound)."""

    code = "route_matches_many"
    title = "The route matches more than one value"


class ConditionMissing(Invalid):
    """A condition without sources or without anything to compare."""

    code = "condition_missing"
    title = "The condition is missing"


class ConditionTooDeep(Invalid):
    """Groups nested deeper than allowed. Field: limit."""

    code = "condition_too_deep"
    title = "The condition is nested too deep"


class TooManyComparisons(Invalid):
    """More comparisons in one condition than allowed. Field: limit."""

    code = "too_many_comparisons"
    title = "The condition has too many comparisons"


class GroupEmpty(Invalid):
    """An `all` or `any` of nothing."""

    code = "group_empty"
    title = "The group is empty"


class GroupAmbiguous(Invalid):
    """An object that is both `all` and `any`, or a group and a comparison at once."""

    code = "group_ambiguous"
    title = "The group is ambiguous"


class ComparisonUnknown(Invalid):
    """Not one of the comparisons. Fields: given, known."""

    code = "comparison_unknown"
    title = "The comparison is not known"


class ThresholdMissing(Invalid):
    """A comparison without what it compares with. Field: field."""

    code = "threshold_missing"
    title = "The threshold is missing"


class ThresholdInvalid(Invalid):
    """A threshold that is no exact number, or one the comparison does not take. Field: reason."""

    code = "threshold_invalid"
    title = "The threshold is not valid"


class ThresholdOrder(Invalid):
    """A low end above the high end. Fields: low, high."""

    code = "threshold_order"
    title = "The thresholds are in the wrong order"


class HysteresisInvalid(Invalid):
    """No exact number, or a negative one. Field: reason."""

    code = "hysteresis_invalid"
    title = "The hysteresis is not valid"


class FiresUnknown(Invalid):
    """Neither edge nor level. Fields: given, known."""

    code = "fires_unknown"
    title = "How the condition fires is not known"


class RepeatInvalid(Invalid):
    """A time between fires that is out of bounds, or one given to a condition that fires at edges."""

    code = "repeat_invalid"
    title = "The time between fires is not valid"


class SourceNameInvalid(Invalid):
    """A source's name is letters, digits, `_` and `-`, at most 64, starting with a letter."""

    code = "source_name_invalid"
    title = "The source's name is not valid"


class SourceUnknown(Invalid):
    """A comparison names a source that the condition does not have. Fields: source, known."""

    code = "source_unknown"
    title = "The source is not known"


class SourceUnused(Invalid):
    """A source that no comparison reads. Field: source."""

    code = "source_unused"
    title = "The source is not used"


class TooManySources(Invalid):
    """More sources in one condition than allowed. Field: limit."""

    code = "too_many_sources"
    title = "The condition has too many sources"


class SourceKindUnknown(Invalid):
    """Not one of the kinds of sources. Fields: given, known."""

    code = "source_kind_unknown"
    title = "The kind of source is not known"


class UrlInvalid(Invalid):
    """No absolute URL of the right scheme, or one with credentials or a fragment. Field: reason."""

    code = "source_url_invalid"
    title = "The URL is not valid"


class MethodUnknown(Invalid):
    """Neither GET nor POST. Fields: given, known."""

    code = "method_unknown"
    title = "The method is not known"


class HeaderInvalid(Invalid):
    """A header's name or value that cannot be sent, or one that is the connection's own. Field: reason."""

    code = "header_invalid"
    title = "The header is not valid"


class BodyTooLarge(Invalid):
    """A body or message beyond its limit. Fields: size_bytes, limit_bytes."""

    code = "body_too_large"
    title = "The body is too large"


class PollInvalid(Invalid):
    """A time between polls that is out of bounds."""

    code = "poll_invalid"
    title = "The time between polls is not valid"


class SourceChainInvalid(Invalid):
    """A chain's number that is none. Whether the chain is followed is the deployment's to say."""

    code = "source_chain_invalid"
    title = "The source's chain is not valid"


class SourceFunctionInvalid(Invalid):
    """A function whose text, entry, outputs and arguments do not say the same. Field: reason."""

    code = "source_function_invalid"
    title = "The source's function is not valid"
