"""What is paid in on the chain becomes the project's balance, each deposit once."""

from uuid import UUID

import pytest

from apps.chains import deposits
from apps.chains.data import project_word
from apps.chains.deploy import ensure_deposit
from apps.chains.deposits import deposits_credit
from apps.chains.models import EscrowState
from apps.kernel.amounts import WEI_PER_UNIT
from apps.kernel.ids import new_id, to_wire
from apps.ledger.selectors import check, get_project_balances
from tests.factories.accounts import make_project
from tests.integration.chains.driving import run

pytestmark = pytest.mark.django_db


def pay(chain, project_id: UUID, units: int) -> None:
    """Pay in from outside, with nothing of ours looking on."""
    wei = units * WEI_PER_UNIT
    word = project_word(project_id)
    ensure_deposit(chain.client, chain.deployment, chain.deployer, word, wei, is_again=True)


def balance_of(project) -> int:
    """What the project has to spend."""
    return get_project_balances(project.id)[0]


def test_deposits_are_credited_once_from_the_last_looked_at_block_on(chain, monkeypatch):
    project, other = make_project(), make_project()
    pay(chain, project.id, 5)
    assert deposits_credit(confirmations=0) == 1
    assert deposits_credit(confirmations=0) == 0
    asked: list[int] = []
    read = deposits.get_deposits

    def listen(*args, from_block, **blocks):
        asked.append(from_block)
        return read(*args, from_block=from_block, **blocks)

    monkeypatch.setattr(deposits, "get_deposits", listen)
    looked_at = EscrowState.objects.get().next_block
    pay(chain, project.id, 7)
    pay(chain, other.id, 2)

    assert deposits_credit(confirmations=0) == 2
    assert (balance_of(project), balance_of(other)) == (12, 2)
    assert asked[0] == looked_at
    assert deposits_credit(confirmations=0, from_start=True) == 0
    assert check() == []


def test_a_deposit_waits_for_its_confirmations(chain):
    project = make_project()
    pay(chain, project.id, 5)
    assert deposits_credit(confirmations=10_000) == 0
    assert balance_of(project) == 0
    chain.mine(50)
    assert deposits_credit(confirmations=50) == 1
    assert balance_of(project) == 5


def test_many_blocks_are_read_in_parts(chain, monkeypatch):
    monkeypatch.setattr(deposits, "_BLOCKS", 3)
    project = make_project()
    pay(chain, project.id, 5)
    chain.mine(10)
    pay(chain, project.id, 6)
    assert deposits_credit(confirmations=0) == 2
    assert balance_of(project) == 11


def test_a_chain_that_is_shorter_than_it_was_is_read_from_the_start(chain):
    project = make_project()
    deposits_credit(confirmations=0)
    EscrowState.objects.update(next_block=10**9)
    pay(chain, project.id, 5)
    assert deposits_credit(confirmations=0) == 1
    assert EscrowState.objects.get().next_block < 10**9


def test_deposits_for_nobody_and_below_a_unit_stop_nothing(chain):
    project = make_project()
    pay(chain, new_id(), 5)
    stranger = b"\xff" * 32
    ensure_deposit(chain.client, chain.deployment, chain.deployer, stranger, WEI_PER_UNIT)
    ensure_deposit(chain.client, chain.deployment, chain.deployer, project_word(project.id), 1)
    pay(chain, project.id, 3)
    assert deposits_credit(confirmations=0) == 1
    assert balance_of(project) == 3


def test_the_command_pays_in_again_where_it_is_told_to(chain, settings, tmp_path):
    project = make_project()
    wire = to_wire("proj", project.id)
    chain.prepare_senders()
    assert "5 units paid in" in run("chain_setup", "--project", wire, "--deposit-units", "5")
    assert "--again" in run("chain_setup", "--project", wire, "--deposit-units", "5")
    assert "5 units paid in" in run("chain_setup", "--project", wire, "--deposit-units", "5", "--again")
    assert deposits_credit(confirmations=0) == 2
    assert balance_of(project) == 10
