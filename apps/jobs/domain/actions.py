"""The call of a step, read from JSON: one function of one contract, or what a custom script decides.

A custom action names the contracts that may be called and leaves all the rest to the step's script.
"""

import re
from collections.abc import Collection
from typing import Any, Final

from apps.jobs.domain.abi import canonical_entry, check_arguments, parameter_count
from apps.jobs.domain.values import Action, Arguments, ArgumentsKind, CustomAction, Script
from apps.jobs.errors import (
    AbiFunctionMismatch,
    ActionMissing,
    ArgumentInvalid,
    ArgumentsUnknown,
    ChainUnknown,
    GasLimitInvalid,
    ScriptMissing,
    TargetsInvalid,
    ValueInvalid,
)
from apps.kernel.abi import AbiInvalid, compute_signature, require_address
from apps.kernel.abi_text import entry_of_function
from apps.kernel.reading import FieldInvalid, Reading, numbered, placed, require_plain

GAS_LIMIT_MIN: Final = 21_000
GAS_LIMIT_MAX: Final = 5_000_000
TARGETS_MAX: Final = 16

_CALL_FIELDS: Final = frozenset({"target", "function", "abi", "value_wei"})
_KNOWN: Final = frozenset({"chain_id", "gas_limit", "custom", "targets", *_CALL_FIELDS})
_DIGITS: Final = re.compile(r"^[0-9]{1,78}$", re.ASCII)


def read_action(
    reading: Reading, script: Script | None, *, chain_ids: Collection[int] | None, gas_limit: int
) -> Action | CustomAction | None:
    """The step's action, if it has one. `chain_ids` None takes any chain; `gas_limit` is the default.

    Raises ChainUnknown, GasLimitInvalid, ValueInvalid, AddressInvalid, AddressChecksum, AbiInvalid,
    AbiFunctionMismatch, TargetsInvalid, ScriptMissing and what `Reading` raises.
    """
    if not reading.has("action"):
        return None
    action = Reading(reading.value["action"], reading.at("action"), _KNOWN)
    if action.flag("custom", False):
        return _read_custom(action, script, chain_ids, gas_limit)
    if action.has("targets"):
        raise FieldInvalid(pointer=action.at("targets"), reason="only a custom action has them")

    chain_id = _read_chain_id(action, chain_ids)
    value_wei = action.get("value_wei", "0")
    if not isinstance(value_wei, str) or not _DIGITS.match(value_wei) or int(value_wei) != 0:
        raise ValueInvalid(
            pointer=action.at("value_wei"), reason='"0" is expected: settlement forwards no coin'
        )
    function, entry = _read_function(action)
    return Action(
        chain_id=chain_id,
        target=require_address(action.require("target"), action.at("target")),
        function=function,
        abi=entry,
        gas_limit=_read_gas_limit(action, gas_limit),
    )


def read_arguments(
    reading: Reading, script: Script | None, action: Action | CustomAction | None
) -> Arguments:
    """Where the action's arguments come from; a custom action has none.

    Raises ArgumentsUnknown, ArgumentInvalid, ArgumentTooLarge, ActionMissing, ScriptMissing.
    """
    given = Reading(reading.get("arguments", {}), reading.at("arguments"), {"kind", "values"})
    kind = given.choice("kind", ArgumentsKind, ArgumentsUnknown, ArgumentsKind.NONE)
    values = tuple(given.items("values"))
    if values and kind is not ArgumentsKind.STATIC:
        raise ArgumentInvalid(pointer=given.at("values"), reason="only static arguments have values")
    if kind is not ArgumentsKind.NONE and action is None:
        raise ActionMissing(pointer=given.at("kind"), arguments=str(kind))
    if kind is not ArgumentsKind.NONE and isinstance(action, CustomAction):
        raise ArgumentInvalid(pointer=given.at("kind"), reason="a custom script gives the whole call data")
    if kind is ArgumentsKind.DYNAMIC and script is None:
        raise ScriptMissing(pointer=given.at("kind"))
    if not isinstance(action, Action):
        return Arguments(kind=kind, values=values)

    if kind is ArgumentsKind.NONE and script is None and parameter_count(action.abi):
        raise ArgumentInvalid(pointer=reading.at("arguments"), reason="the function takes arguments")
    if kind is ArgumentsKind.STATIC:
        require_plain(values, given.at("values"))
        check_arguments(action.abi, values, given.at("values"))
    return Arguments(kind=kind, values=values)


def _read_custom(
    action: Reading, script: Script | None, chain_ids: Collection[int] | None, gas_limit: int
) -> CustomAction:
    for name in sorted(_CALL_FIELDS):
        if action.has(name):
            raise FieldInvalid(pointer=action.at(name), reason="a custom script says what is called")
    if script is None:
        raise ScriptMissing(pointer=action.at("custom"))
    return CustomAction(
        chain_id=_read_chain_id(action, chain_ids),
        targets=_read_targets(action),
        gas_limit=_read_gas_limit(action, gas_limit),
    )


def _read_targets(action: Reading) -> tuple[str, ...]:
    given, pointer = action.items("targets"), action.at("targets")
    if not 1 <= len(given) <= TARGETS_MAX:
        raise TargetsInvalid(
            pointer=pointer, reason=f"1 to {TARGETS_MAX} addresses are expected", given=len(given)
        )
    targets: list[str] = []
    for where, value in numbered(given, pointer):
        target = require_address(value, where)
        if target in targets:
            raise TargetsInvalid(pointer=where, reason="named before", target=target)
        targets.append(target)
    return tuple(targets)


def _read_chain_id(action: Reading, chain_ids: Collection[int] | None) -> int:
    chain_id = action.require("chain_id")
    if isinstance(chain_id, bool) or not isinstance(chain_id, int) or chain_id < 1:
        raise ChainUnknown(pointer=action.at("chain_id"), chain_id=str(chain_id)[:80])
    if chain_ids is not None and chain_id not in chain_ids:
        raise ChainUnknown(pointer=action.at("chain_id"), chain_id=chain_id, known=sorted(chain_ids))
    return chain_id


def _read_gas_limit(action: Reading, default: int) -> int:
    return action.number("gas_limit", default, GasLimitInvalid, low=GAS_LIMIT_MIN, high=GAS_LIMIT_MAX)


def _read_function(action: Reading) -> tuple[str, dict[str, Any]]:
    function = action.text("function", max_characters=256)
    try:
        entry = canonical_entry(action.get("abi", entry_of_function(function)), function)
    except (AbiInvalid, AbiFunctionMismatch) as exc:
        raise placed(exc, action.pointer) from None
    return compute_signature(entry), entry
