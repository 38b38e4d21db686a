"""What can go wrong between us and a chain."""

from apps.kernel.errors import Conflict, DomainError, Invalid, NotFound


class ChainUnreachable(DomainError):
    """No answer, or no JSON-RPC answer: url (without credentials), reason. Worth another try."""

    code = "chain_unreachable"
    title = "The chain does not answer"


class ChainFault(DomainError):
    """The node refused a request: method, rpc_code, message, data."""

    code = "chain_fault"
    title = "The chain refused the request"


class CallReverted(Conflict):
    """A call that reverts: reason (the contract's own text where it gave one), data (hex)."""

    code = "call_reverted"
    title = "The contract refuses this call"


class DeploymentMissing(NotFound):
    """There is no deployment file, or it is unreadable: path, reason."""

    code = "deployment_missing"
    title = "The contracts are not deployed (manage.py chain_setup)"


class WrongChain(Conflict):
    """The node serves another chain than the deployment is on: expected, found."""

    code = "wrong_chain"
    title = "This is another chain"


class SenderMissing(Conflict):
    """No sender whose key is at hand exists for the chain: chain_id."""

    code = "sender_missing"
    title = "No sender is set up (manage.py chain_setup)"


class FundsMissing(Conflict):
    """An account cannot pay: address, balance_wei, needed_wei."""

    code = "funds_missing"
    title = "The account has too little money"


class TransactionFailed(Conflict):
    """A set-up transaction was mined and reverted, or never came: purpose, tx_hash, reason."""

    code = "transaction_failed"
    title = "The transaction failed"


class KeyFileInvalid(Invalid):
    """A key file that is missing, open to others or malformed: path, reason."""

    code = "key_file_invalid"
    title = "The key file cannot be used"


class ArtifactInvalid(Invalid):
    """No such contract, function or event in the artefacts: contract, name."""

    code = "artifact_invalid"
    title = "The contract's artefact does not have this"


class BatchInvalid(Invalid):
    """A settlement batch the hub would refuse: reason."""

    code = "batch_invalid"
    title = "The settlement batch is not valid"


class AnvilMissing(Conflict):
    """No anvil binary: looked_in."""

    code = "anvil_missing"
    title = "The local EVM node is not installed (npm ci)"


class AnvilFailed(DomainError):
    """The node did not start or does not answer: reason, log."""

    code = "anvil_failed"
    title = "The local EVM node does not run"
