"""The call a task's output asks for, derived the same way by the performer and by every attester.

`derive_action` is pure: specification and output in, action out. Nothing of the action is taken from the
output but its arguments (or call data for the very same function), so a script can decide whether and
with what values its function is called, never which function of which contract. Only a custom action
leaves that to the script: any call of the contracts its job names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.execution.errors import (
    ActionAbiInvalid,
    ActionArgumentsInvalid,
    ActionArgumentsMissing,
    ActionCalldataInvalid,
    ActionDecisionInvalid,
    ActionInvalid,
    ActionTargetRefused,
)
from apps.kernel.abi import AbiInvalid, ArgumentsMismatch, compute_selector, encode_call, is_address
from apps.kernel.errors import Invalid
from apps.kernel.hashing import from_hex, to_hex
from apps.kernel.settlement_hash import action_hash

#: what the hub takes for one settlement
CALL_DATA_MAX_BYTES: Final = 1024
#: a function's selector, which a custom script's call data has at least
CALL_DATA_MIN_BYTES: Final = 4
GAS_LIMIT_MAX: Final = 30_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A call the hub makes once the task is settled. `target` is lower-case `0x…`."""

    target: str
    call_data: bytes
    gas_limit: int

    @property
    def hash(self) -> bytes:
        """What the proof of task binds."""
        return action_hash(self.target, self.call_data, self.gas_limit)

    def to_json(self) -> dict[str, Any]:
        """The form a result and a package carry."""
        return {"target": self.target, "call_data": to_hex(self.call_data), "gas_limit": self.gas_limit}


def derive_action(spec: Mapping[str, Any], output: Mapping[str, Any]) -> Action | None:
    """The action of a task with this specification and this output; None where nothing is to be called.

    None without `spec["action"]` and where the output says `should_execute: false`. Otherwise call data is
    the output's `calldata` where it has one, else the encoded arguments: the specification's for `static`,
    the output's for `dynamic`, nothing for `none`. Where the action is custom, the output has to say
    `should_execute`, and target and call data are its own. Raises ActionInvalid, ActionDecisionInvalid,
    ActionAbiInvalid, ActionArgumentsMissing, ActionArgumentsInvalid, ActionCalldataInvalid,
    ActionTargetRefused.
    """
    wanted = spec.get("action")
    if wanted is None:
        return None
    if is_custom(wanted):
        return _derive_custom(wanted, output)
    if not should_execute(output):
        return None
    target, gas_limit = _require_callable(wanted)

    given = output.get("calldata")
    call_data = _encode(spec, wanted, output) if given is None else _accept(given, wanted)

    if len(call_data) > CALL_DATA_MAX_BYTES:
        raise ActionCalldataInvalid(reason=f"longer than {CALL_DATA_MAX_BYTES} bytes", size=len(call_data))
    return Action(target=target, call_data=call_data, gas_limit=gas_limit)


def should_execute(output: Mapping[str, Any]) -> bool:
    """The deciding script's word; true where it does not say. Raises ActionDecisionInvalid."""
    decision = output.get("should_execute", True)
    if not isinstance(decision, bool):
        raise ActionDecisionInvalid()
    return decision


def is_custom(wanted: Any) -> bool:
    """Whether a specification's action leaves the whole call to the script."""
    return isinstance(wanted, Mapping) and wanted.get("custom") is True


def _derive_custom(wanted: Mapping[str, Any], output: Mapping[str, Any]) -> Action | None:
    if "should_execute" not in output:
        raise ActionDecisionInvalid(reason="a custom script says should_execute")
    if not should_execute(output):
        return None
    targets = wanted.get("targets")
    if not isinstance(targets, list) or not targets or not all(map(is_address, targets)):
        raise ActionInvalid(reason="the targets are no addresses")
    given = output.get("target")
    target = str(given).lower() if is_address(given) else ""
    if target not in [each.lower() for each in targets]:
        raise ActionTargetRefused(pointer="/target", given=str(given)[:80])

    try:
        call_data = from_hex(output.get("calldata", ""))
    except Invalid:
        raise ActionCalldataInvalid(pointer="/calldata", reason="hex text is expected") from None
    if not CALL_DATA_MIN_BYTES <= len(call_data) <= CALL_DATA_MAX_BYTES:
        reason = f"{CALL_DATA_MIN_BYTES} to {CALL_DATA_MAX_BYTES} bytes are expected"
        raise ActionCalldataInvalid(pointer="/calldata", reason=reason, size=len(call_data))
    return Action(target=target, call_data=call_data, gas_limit=_require_gas_limit(wanted))


def _require_callable(wanted: Any) -> tuple[str, int]:
    if not isinstance(wanted, Mapping) or not is_address(wanted.get("target")):
        raise ActionInvalid(reason="the target is no address")
    gas_limit = _require_gas_limit(wanted)
    if str(wanted.get("value_wei", "0")) != "0":
        raise ActionInvalid(reason="the hub sends no coin along")
    return str(wanted["target"]).lower(), gas_limit


def _require_gas_limit(wanted: Mapping[str, Any]) -> int:
    gas_limit = wanted.get("gas_limit")
    if isinstance(gas_limit, bool) or not isinstance(gas_limit, int) or not 0 < gas_limit <= GAS_LIMIT_MAX:
        raise ActionInvalid(reason=f"the gas limit is an integer from 1 to {GAS_LIMIT_MAX}")
    return gas_limit


def _encode(spec: Mapping[str, Any], wanted: Mapping[str, Any], output: Mapping[str, Any]) -> bytes:
    arguments = spec.get("arguments") or {"kind": "none"}
    match arguments.get("kind"):
        case "none":
            values: Any = []
        case "static":
            values = arguments.get("values")
        case "dynamic":
            values = output.get("arguments")
            if not isinstance(values, list):
                raise ActionArgumentsMissing()
        case _:
            raise ActionInvalid(reason="arguments are none, static or dynamic")
    try:
        return encode_call(wanted.get("abi") or {}, values)
    except AbiInvalid as exc:
        raise ActionAbiInvalid(pointer=exc.pointer, **exc.fields) from None
    except ArgumentsMismatch as exc:
        raise ActionArgumentsInvalid(pointer=f"/arguments{exc.pointer or ''}", **exc.fields) from None


def _accept(given: Any, wanted: Mapping[str, Any]) -> bytes:
    try:
        call_data = from_hex(given)
        selector = compute_selector(wanted.get("abi") or {})
    except AbiInvalid as exc:
        raise ActionAbiInvalid(pointer=exc.pointer, **exc.fields) from None
    except Invalid:
        raise ActionCalldataInvalid(pointer="/calldata", reason="hex text is expected") from None
    if call_data[:4] != selector:
        raise ActionCalldataInvalid(pointer="/calldata", reason="another function", expected=to_hex(selector))
    return call_data
