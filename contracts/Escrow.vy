# pragma version 0.4.3
# pragma evm-version prague
"""
@title Projects' deposits
@notice Money paid in for a project (by its 32-byte id); the ledger credits it from the event once the
        deposit is confirmed. The owner, who runs the network, pays fees and refunds out.
"""

event Deposited:
    project: indexed(bytes32)
    sender: indexed(address)
    amount: uint256
    total: uint256

event TreasuryWithdrawn:
    receiver: indexed(address)
    amount: uint256

event OwnerSet:
    owner: indexed(address)

owner: public(address)
deposited: public(HashMap[bytes32, uint256])


@deploy
def __init__():
    self.owner = msg.sender
    log OwnerSet(owner=msg.sender)


@external
@payable
def deposit(project: bytes32):
    """
    @notice Pay in for a project.
    """
    assert msg.value > 0, "amount"
    assert project != empty(bytes32), "project"
    total: uint256 = self.deposited[project] + msg.value
    self.deposited[project] = total
    log Deposited(project=project, sender=msg.sender, amount=msg.value, total=total)


@external
@nonreentrant
def withdraw_treasury(receiver: address, amount: uint256):
    """
    @notice Pay out; the owner's alone.
    """
    assert msg.sender == self.owner, "owner"
    assert receiver != empty(address), "receiver"
    raw_call(receiver, b"", value=amount)
    log TreasuryWithdrawn(receiver=receiver, amount=amount)


@external
def transfer_ownership(newOwner: address):
    """
    @notice Hand the escrow over.
    """
    assert msg.sender == self.owner, "owner"
    assert newOwner != empty(address), "owner"
    self.owner = newOwner
    log OwnerSet(owner=newOwner)
