"""The transactions we send, the accounts that send them, and the chain as last seen.

An outbound row is written, signed, in the transaction that decides to send it; the network comes
after the commit. A sender's nonces are given out under its row's lock, without a gap. Every row
that is not at rest has a `wake_at`.
"""

from django.db import models
from django.db.models import Q

from apps.chains.data import Log, OutboundStatus
from apps.kernel.amounts import units_from_wei
from apps.kernel.ids import new_id

_AT_REST = (OutboundStatus.CONFIRMED, OutboundStatus.FAILED, OutboundStatus.DROPPED)
_IN_A_BLOCK = (OutboundStatus.MINED, OutboundStatus.CONFIRMED, OutboundStatus.FAILED)


class ChainState(models.Model):
    """What a chain showed last: the head, the prices new transactions are signed with."""

    chain_id = models.PositiveBigIntegerField(primary_key=True)
    head_number = models.PositiveBigIntegerField()
    head_hash = models.CharField(max_length=66)
    max_fee_wei = models.PositiveBigIntegerField()
    priority_fee_wei = models.PositiveBigIntegerField()
    observed_at = models.DateTimeField()
    behind_since = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"chain {self.chain_id} at {self.head_number}"


class EscrowState(models.Model):
    """How far the deposits of one escrow contract have been read."""

    chain_id = models.PositiveBigIntegerField()
    address = models.CharField(max_length=42)
    #: The next block to look at; every deposit before it that names a project is credited.
    next_block = models.PositiveBigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("chain_id", "address"), name="escrow_once_per_chain"),)

    def __str__(self) -> str:
        return f"escrow {self.address} on {self.chain_id} up to {self.next_block}"


class Sender(models.Model):
    """An account of ours on one chain, and the nonce its next transaction gets."""

    address = models.CharField(max_length=42)
    chain_id = models.PositiveBigIntegerField()
    next_nonce = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("chain_id", "address"), name="sender_once_per_chain"),
            models.CheckConstraint(condition=Q(address__startswith="0x"), name="sender_address_is_hex"),
        )

    def __str__(self) -> str:
        return f"{self.address} on {self.chain_id}"


class Outbound(models.Model):
    """One transaction of ours. Amounts and prices are wei, `value_wei` as decimal text."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    chain_id = models.PositiveBigIntegerField()
    sender = models.ForeignKey(Sender, on_delete=models.PROTECT, related_name="outbounds")
    nonce = models.PositiveBigIntegerField()
    purpose = models.CharField(max_length=32, blank=True, default="")
    to = models.CharField(max_length=42)
    data = models.BinaryField()
    value_wei = models.CharField(max_length=78, default="0")
    gas_limit = models.PositiveBigIntegerField()
    max_fee_wei = models.PositiveBigIntegerField()
    priority_fee_wei = models.PositiveBigIntegerField()
    raw = models.BinaryField()
    tx_hash = models.CharField(max_length=66, unique=True)
    #: Hashes of the same nonce signed before with a lower price: any of them may be the one that is mined.
    former_hashes = models.JSONField(default=list, blank=True)
    status = models.CharField(
        max_length=16, choices=[(str(s), str(s)) for s in OutboundStatus], default=OutboundStatus.SIGNED
    )
    #: Grows with every write; a write that was prepared before another one changes nothing.
    version = models.PositiveBigIntegerField(default=0)
    #: Why its nonce went to an empty transfer instead: no node would ever have taken it.
    void_reason = models.CharField(max_length=200, blank=True, default="")
    send_count = models.PositiveIntegerField(default=0)
    reorg_count = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=200, blank=True, default="")
    block_number = models.PositiveBigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True, default="")
    success = models.BooleanField(null=True)
    gas_used = models.PositiveBigIntegerField(default=0)
    effective_gas_price = models.PositiveBigIntegerField(default=0)
    #: Events of the called contract, kept so that what follows a confirmation needs no network.
    logs = models.JSONField(default=list, blank=True)
    wake_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    broadcast_at = models.DateTimeField(null=True)
    mined_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True)
    trace_id = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("sender", "nonce"), name="outbound_nonce_once"),
            models.CheckConstraint(
                condition=Q(status__in=_AT_REST) | Q(wake_at__isnull=False), name="outbound_has_wake_up"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=_IN_A_BLOCK) | Q(block_number__isnull=False),
                name="outbound_mined_has_block",
            ),
        )
        indexes = (
            models.Index(
                fields=("status", "wake_at"), condition=Q(wake_at__isnull=False), name="outbound_due"
            ),
        )

    def __str__(self) -> str:
        return f"{self.purpose or 'outbound'} {self.nonce} of {self.sender_id}: {self.status}"

    @property
    def cost_wei(self) -> int:
        """What it cost in gas; 0 until mined."""
        return self.gas_used * self.effective_gas_price

    @property
    def cost_units(self) -> int:
        """The same in units, rounded up."""
        return units_from_wei(self.cost_wei)

    @property
    def all_hashes(self) -> list[str]:
        """Every hash this nonce was ever sent under, the latest first."""
        return [self.tx_hash, *reversed(self.former_hashes)]

    def get_logs(self) -> list[Log]:
        """The events of the contract that was called, in order; empty until mined.

        Other contracts' events are left out: a job's target could emit anything, the hub's own included.
        """
        return [
            Log(
                address=self.to,
                topics=tuple(item["topics"]),
                data=item["data"],
                index=item["index"],
                block_number=self.block_number or 0,
                block_hash=self.block_hash,
                tx_hash=self.tx_hash,
            )
            for item in self.logs
        ]
