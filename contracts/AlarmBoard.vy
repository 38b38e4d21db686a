# pragma version 0.4.3
# pragma evm-version prague
"""
@title An example target: heat alarms per station
@notice Only the hub raises an alarm. `day` counts days since 1970-01-01; one alarm per station and day.
"""

event AlarmRaised:
    station: indexed(bytes32)
    milliCelsius: int256
    day: uint256

hub: public(immutable(address))
temperature: public(HashMap[bytes32, HashMap[uint256, int256]])
is_raised: public(HashMap[bytes32, HashMap[uint256, bool]])
alarm_count: public(HashMap[bytes32, uint256])


@deploy
def __init__(hubAddress: address):
    hub = hubAddress


@external
def raise_alarm(station: bytes32, milli_celsius: int256, day: uint256):
    """
    @notice Record that a station measured too much on a day; the same day again changes its value only.
    """
    assert msg.sender == hub, "hub"
    assert station != empty(bytes32), "station"
    if not self.is_raised[station][day]:
        self.is_raised[station][day] = True
        self.alarm_count[station] += 1
    self.temperature[station][day] = milli_celsius
    log AlarmRaised(station=station, milliCelsius=milli_celsius, day=day)
