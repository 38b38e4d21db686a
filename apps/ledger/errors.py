"""What the ledger refuses."""

from apps.kernel.errors import Conflict, Forbidden, Invalid


class InsufficientFunds(Conflict):
    """A call that would leave an account below 0. Fields: account, balance, needed (units)."""

    code = "insufficient_funds"
    title = "The balance is too small"


class UnbalancedTransaction(Invalid):
    """Postings that do not sum to 0. Fields: reference, sum."""

    code = "unbalanced_transaction"
    title = "The postings do not sum to zero"


class PostingInvalid(Invalid):
    """A draft that is malformed: its reference, an account or an amount. Fields: reference, reason."""

    code = "posting_invalid"
    title = "The transaction is malformed"


class ReferenceRepeated(Invalid):
    """Two different drafts with one reference in one call. Fields: reference."""

    code = "reference_repeated"
    title = "One reference stands for two transactions"


class LedgerMoved(Conflict):
    """A balance changed under its lock, which only writing past the services can do."""

    code = "ledger_moved"
    title = "A balance has changed meanwhile"


class LedgerImmutable(Forbidden):
    """An attempt to change or delete what was posted."""

    code = "ledger_immutable"
    title = "Postings are never changed or deleted"
