"""The dispatcher's key and the EIP-712 domain everything is signed under, read once per process."""

from functools import cache

import coincurve
from django.conf import settings

from apps.chains.keys import read_account
from apps.chains.selectors import get_deployment
from apps.execution.data import Assignment
from apps.kernel.eip712 import TypedDomain
from apps.kernel.outcome import Message


def get_domain() -> TypedDomain:
    """Chain and hub of the deployment this control plane speaks for. Raises DeploymentMissing."""
    return get_deployment().typed_domain


@cache
def get_dispatcher_key() -> coincurve.PrivateKey:
    """The key that signs assignments and round calls. Raises KeyFileInvalid."""
    return read_account(settings.FOREKEEP.chain.dispatcher_key_file).private


def execute_message(assignment: Assignment, trace_id: str) -> Message:
    """The signed message that offers a lease to its keeper."""
    return Message(
        keeper=assignment.keeper,
        task="keeper.execute",
        body={"assignment": assignment.to_json(domain=get_domain(), key=get_dispatcher_key())},
        trace_id=trace_id,
    )
