"""The collector is held off inside, and on again after it, whatever happens."""

import gc

import pytest

from apps.kernel.collection import collection_paused


def test_no_cycle_is_collected_inside_and_the_collector_is_on_again_after_a_failure():
    assert gc.isenabled()
    seen = []
    with pytest.raises(ZeroDivisionError), collection_paused():
        seen.append(1 / int(gc.isenabled()))
    assert (seen, gc.isenabled()) == ([], True)


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
