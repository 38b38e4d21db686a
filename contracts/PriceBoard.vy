# pragma version 0.4.3
# pragma evm-version prague
"""
@title An example target: one attested figure per symbol
@notice Only the hub writes, so every figure here was executed by a keeper and attested by a quorum.
"""

struct Price:
    figure: uint256
    reportedAt: uint256

event PriceReported:
    symbol: indexed(bytes32)
    figure: uint256

hub: public(immutable(address))
latest: public(HashMap[bytes32, Price])


@deploy
def __init__(hubAddress: address):
    hub = hubAddress


@external
def report(symbol: bytes32, figure: uint256):
    """
    @notice Set a symbol's figure.
    """
    assert msg.sender == hub, "hub"
    assert symbol != empty(bytes32), "symbol"
    self.latest[symbol] = Price(figure=figure, reportedAt=block.timestamp)
    log PriceReported(symbol=symbol, figure=figure)
