"""What the deployment offers: chains, prices, the gas price of now."""

from dataclasses import replace

import pytest
from django.conf import settings

from apps.chains.data import Fees
from apps.chains.errors import ChainUnreachable
from apps.jobs import terms


class Node:
    """A chain client that only knows its fees, and counts how often it is asked."""

    def __init__(self, url, *, timeout_seconds):
        self.fees = Fees(max_fee_wei=7, priority_fee_wei=1)
        self.asked = 0

    def get_fees(self):
        self.asked += 1
        if self.fees is None:
            raise ChainUnreachable(method="eth_gasPrice", reason="gone")
        return self.fees


@pytest.fixture
def price(monkeypatch):
    monkeypatch.setattr(terms, "ChainClient", Node)
    monkeypatch.setattr(terms, "_PRICE_KEPT_SECONDS", 0.0)
    return terms._GasPrice("http://127.0.0.1:1")


def test_without_a_deployment_no_chain_is_known():
    assert not settings.FOREKEEP.chain.deployment_file.exists()
    assert terms.get_bounds().chain_ids == ()


def test_the_deployments_chain_is_the_one_that_is_taken(deployment):
    assert terms.get_bounds().chain_ids == (31337,)


def test_a_step_reads_at_most_what_a_required_proof_binds(monkeypatch):
    proofs = replace(settings.FOREKEEP.proofs, is_required=True, sizes=("16",))
    monkeypatch.setattr(settings, "FOREKEEP", replace(settings.FOREKEEP, proofs=proofs))
    assert terms.get_bounds().read_max == 7
    proofs = replace(proofs, sizes=("64", "16"))
    monkeypatch.setattr(settings, "FOREKEEP", replace(settings.FOREKEEP, proofs=proofs))
    assert terms.get_bounds().read_max == 31
    proofs = replace(proofs, is_required=False)
    monkeypatch.setattr(settings, "FOREKEEP", replace(settings.FOREKEEP, proofs=proofs))
    assert terms.get_bounds().read_max is None


def test_a_fee_counts_the_performer_and_the_whole_committee():
    prices = terms.get_prices()
    assert prices.executions == 1 + settings.FOREKEEP.attestation.committee_size
    assert prices.fee_multiplier_percent == 120


def test_the_gas_price_is_the_chains(price):
    assert price.get() == 7


def test_a_chain_that_does_not_answer_names_no_price(price):
    price._client.fees = None
    assert price.get() is None


def test_the_chain_is_asked_once_for_many_estimates(price, monkeypatch):
    monkeypatch.setattr(terms, "_PRICE_KEPT_SECONDS", 60.0)
    assert [price.get() for _ in range(5)] == [7] * 5
    assert price._client.asked == 1
