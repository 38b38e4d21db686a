"""Reading nodes' refusals, and prices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.chains.data import Fees
from apps.chains.domain.sending import (
    SendOutcome,
    classify_refusal,
    compute_bumped_fees,
    compute_fees,
)


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("already known", SendOutcome.ACCEPTED),
        ("transaction already imported", SendOutcome.ACCEPTED),
        ("replacement transaction underpriced", SendOutcome.ACCEPTED),
        ("nonce too low", SendOutcome.NONCE_USED),
        ("nonce too low: next nonce 5, tx nonce 4", SendOutcome.NONCE_USED),
        ("Insufficient funds for gas * price + value", SendOutcome.NO_FUNDS),
        ("max fee per gas less than block base fee", SendOutcome.FEE_TOO_LOW),
        ("transaction underpriced: tip needed 1", SendOutcome.FEE_TOO_LOW),
        ("FeeTooLow, EffectivePriorityFeePerGas too low", SendOutcome.FEE_TOO_LOW),
        ("intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", SendOutcome.REFUSED),
        ("exceeds block gas limit", SendOutcome.REFUSED),
        ("invalid chain id for signer", SendOutcome.RETRY),
        ("Failed to decode transaction", SendOutcome.REFUSED),
        ("max priority fee per gas higher than max fee per gas", SendOutcome.REFUSED),
        ("txpool is full", SendOutcome.RETRY),
        ("rate limited", SendOutcome.RETRY),
        ("", SendOutcome.RETRY),
    ],
)
def test_a_refusal_is_read_by_its_words(message, outcome):
    assert classify_refusal(message) is outcome


@given(st.text())
def test_unknown_words_are_never_an_exception(message):
    assert classify_refusal(message) in SendOutcome


def test_the_price_covers_a_doubled_base_fee():
    assert compute_fees(1_000_000_000, 5_000_000) == Fees(
        max_fee_wei=2_005_000_000, priority_fee_wei=5_000_000
    )
    assert compute_fees(0, 0).priority_fee_wei > 0


@given(st.integers(1, 10**13), st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_raised_price_beats_the_old_one_by_a_tenth_up_to_the_cap(max_fee, priority, base, tip):
    former = Fees(max_fee_wei=max_fee, priority_fee_wei=min(priority, max_fee))
    cap = 10**15
    raised = compute_bumped_fees(former, compute_fees(base, tip), cap)
    assert raised.max_fee_wei * 10 >= former.max_fee_wei * 11
    assert raised.priority_fee_wei * 10 >= former.priority_fee_wei * 11
    assert raised.priority_fee_wei <= raised.max_fee_wei <= cap


def test_the_cap_is_never_passed():
    former = Fees(max_fee_wei=90, priority_fee_wei=80)
    assert compute_bumped_fees(former, former, 100) == Fees(max_fee_wei=100, priority_fee_wei=100)
