"""What the tests of the doors share: a deployment to settle on, and a gas price that is a fact."""

import json

import pytest
from django.conf import settings

from apps.jobs.rest import views

GAS_PRICE_WEI = 2_000_000_000


@pytest.fixture
def deployment():
    """A deployment file that names chain 31337."""
    path = settings.FOREKEEP.chain.deployment_file
    addresses = {
        name: f"0x{number:040x}"
        for number, name in enumerate(("hub", "registry", "escrow", "price_board", "alarm_board"), start=1)
    }
    path.write_text(json.dumps({"chain_id": 31337, "block": 1, **addresses}))
    yield addresses
    path.unlink()


@pytest.fixture
def gas_price(monkeypatch):
    """Set what the chain asks for gas; 2 gwei until told otherwise."""

    def set_price(wei):
        monkeypatch.setattr(views, "get_gas_price_wei", lambda: wei)

    set_price(GAS_PRICE_WEI)
    return set_price
