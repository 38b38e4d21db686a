"""The escrow and the example targets."""

from apps.chains.artifacts import get_abi
from apps.chains.deploy import ensure_deposit
from apps.chains.registry import get_deposits
from tests.contracts.building import attesters_of, make_item, read, why_refused

PROJECT = (7).to_bytes(32)


def test_a_deposit_is_recorded_per_project(chain):
    payer = chain.submitters[0]
    before = chain.client.get_head().number
    assert ensure_deposit(chain.client, chain.deployment, payer, PROJECT, 10**18)
    assert not ensure_deposit(chain.client, chain.deployment, payer, PROJECT, 10**18)
    (event,) = get_deposits(chain.client, chain.deployment, from_block=before)
    assert event.arguments["project"] == PROJECT
    assert event.arguments["sender"] == payer.address
    assert event.arguments["amount"] == event.arguments["total"] == 10**18
    assert event.tx_hash.startswith("0x")


def test_an_empty_deposit_and_no_project_are_refused(chain):
    deposit = get_abi("Escrow")
    to = chain.deployment.escrow
    assert why_refused(chain, deposit.encode("deposit", PROJECT), to=to) == "amount"
    assert why_refused(chain, deposit.encode("deposit", bytes(32)), to=to, value_wei=1) == "project"


def test_only_the_owner_pays_out(chain):
    ensure_deposit(chain.client, chain.deployment, chain.submitters[0], PROJECT, 10**18)
    receiver = "0x" + "0e" * 20
    data = get_abi("Escrow").encode("withdraw_treasury", receiver, 10**17)
    assert why_refused(chain, data, to=chain.deployment.escrow) == "owner"
    assert why_refused(chain, data, to=chain.deployment.escrow, key=chain.deployer) is None
    assert chain.client.get_balances([receiver]) == {receiver: 10**17}


def test_nobody_but_the_hub_writes_to_the_boards(chain):
    price = get_abi("PriceBoard").encode("report", PROJECT, 1)
    alarm = get_abi("AlarmBoard").encode("raise_alarm", PROJECT, -5, 1)
    assert why_refused(chain, price, to=chain.deployment.price_board, key=chain.deployer) == "hub"
    assert why_refused(chain, alarm, to=chain.deployment.alarm_board, key=chain.deployer) == "hub"


def test_an_alarm_is_counted_once_per_station_and_day(chain):
    board = chain.deployment.alarm_board
    alarms = [(PROJECT, 31_500, 100), (PROJECT, 32_000, 100), (PROJECT, -1_500, 101)]
    items = [
        make_item(
            chain,
            number,
            target=board,
            call_data=get_abi("AlarmBoard").encode("raise_alarm", *alarm),
            gas_limit=150_000,
        )
        for number, alarm in enumerate(alarms, start=1)
    ]
    chain.submit(items, attesters_of(chain))
    assert read(chain, "AlarmBoard", board, "alarm_count", PROJECT) == 2
    assert read(chain, "AlarmBoard", board, "temperature", PROJECT, 100) == 32_000
    assert read(chain, "AlarmBoard", board, "temperature", PROJECT, 101) == -1_500
