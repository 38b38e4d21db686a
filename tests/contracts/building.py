"""Settlement items and calls for the contract tests."""

from apps.chains.artifacts import get_abi
from apps.chains.data import ZERO_ADDRESS, Call, SettlementItem
from apps.chains.domain.settlement_abi import leaf_of, sort_attesters
from apps.chains.errors import TransactionFailed
from apps.chains.registry import decode_hub_logs, get_settled
from apps.kernel.merkle import merkle_root

GAS = 3_000_000
_FIELDS = ("task_id", "epoch", "performer", "output_hash", "package_digest")


def make_item(chain, task_id=1, *, performer=None, **fields):
    """A settlement performed by the first keeper, without an action unless given one."""
    values = {
        "epoch": 1,
        "output_hash": b"\x01" * 32,
        "package_digest": b"\x02" * 32,
        "performer": performer or chain.keepers[0].address,
    }
    return SettlementItem(task_id=task_id, **{**values, **fields})


SYMBOL = b"ABC".ljust(32, b"\0")


def report_item(chain, task_id, *, symbol=SYMBOL, figure=42, gas_limit=100_000):
    """An item whose action reports a price."""
    call_data = get_abi("PriceBoard").encode("report", symbol, figure)
    return make_item(
        chain, task_id, target=chain.deployment.price_board, call_data=call_data, gas_limit=gas_limit
    )


def attesters_of(chain, count=3):
    """Keepers that are not the usual performer."""
    return chain.keepers[1 : 1 + count]


def raw_batch(
    chain, items, *, leaves=None, positions=None, circuit=None, proofs=(), signature=None, attesters=None
):
    """Call data of `submitBatch` exactly as given: our encoder would refuse what the hub has to refuse."""
    leaves = [leaf_of(item) for item in items] if leaves is None else leaves
    attesters = attesters_of(chain) if attesters is None else attesters
    signature = signature or chain.sign_root(merkle_root(leaves), attesters)
    rows = [
        (
            *(getattr(item, name) for name in _FIELDS),
            item.target or ZERO_ADDRESS,
            item.call_data,
            item.gas_limit,
            item.statement,
        )
        for item in items
    ]
    return get_abi("Hub").encode(
        "submitBatch",
        leaves,
        list(range(len(items))) if positions is None else positions,
        rows,
        (items[0].circuit if items else 0) if circuit is None else circuit,
        list(proofs),
        signature,
        sort_attesters([keeper.address for keeper in attesters]),
    )


def settled(chain, *task_ids):
    """Those of the tasks that the hub has settled."""
    return set(get_settled(chain.client, chain.deployment, task_ids))


def why_refused(chain, data, *, key=None, to=None, value_wei=0, gas_limit=GAS):
    """Send it; the contract's reason, or None where it was accepted."""
    try:
        chain.send(
            key or chain.submitters[0],
            to or chain.deployment.hub,
            data,
            value_wei=value_wei,
            gas_limit=gas_limit,
        )
    except TransactionFailed as exc:
        return exc.reason
    return None


def read(chain, contract, address, function, *arguments):
    """Call a view; its single value."""
    abi = get_abi(contract)
    output = chain.client.call(Call(to=address, data=abi.encode(function, *arguments)))
    values = abi.decode(function, output)
    return values[0] if len(values) == 1 else values


def hub_events(chain, receipt):
    """(name, task id) of the hub's per-task events."""
    events = decode_hub_logs(chain.deployment, receipt.logs)
    return [(event.name, event.arguments["taskId"]) for event in events if "taskId" in event.arguments]
