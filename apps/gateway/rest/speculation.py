"""How a word on running ahead looks on the wire, for projects here and for jobs above.

The fields are described for the API page; `choice_from_json` alone decides.
"""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.kernel.speculation import BRANCHES_MAX, DEPTH_MAX, MODE_LIMITS, Mode

_MODES: Final = ", ".join(
    f"{mode}: depth {depth}, branches {branches}" for mode, (depth, branches) in MODE_LIMITS.items()
)

OFF: Final = {"enabled": False}
CUSTOM: Final = {"mode": str(Mode.CUSTOM), "max_depth": DEPTH_MAX, "max_branches": 8}


@extend_schema_serializer(
    examples=[OpenApiExample("Off", value=OFF), OpenApiExample("As deep as it goes", value=CUSTOM)]
)
class SpeculationBody(serializers.Serializer[Any]):
    """How far tasks may run ahead of ancestors that are not confirmed.

    What is left out is left to the level above: for mode, depth and branches the job's word counts, then
    the project's, then the network's.
    """

    enabled = serializers.BooleanField(
        required=False,
        help_text="false: nothing runs ahead. Running ahead needs network, project and job: "
        "true takes nobody else's false back",
    )
    mode = serializers.ChoiceField(
        [str(mode) for mode in Mode],
        required=False,
        help_text=f"{_MODES}; custom: as given in `max_depth` and `max_branches`",
    )
    max_depth = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=DEPTH_MAX,
        help_text="with `mode` custom, and only then: the longest path of unconfirmed ancestors a task may "
        "stand on. A deeper task waits until enough of them are confirmed",
    )
    max_branches = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=BRANCHES_MAX,
        help_text="with `mode` custom, and only then: children of one unconfirmed parent under way at once",
    )


@extend_schema_field(SpeculationBody)
class SpeculationField(serializers.JSONField):
    """A `SpeculationBody` as it came; `{}` and null say nothing."""
