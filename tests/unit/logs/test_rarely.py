"""The collector's threshold is what it was once the last of those who raised it is done."""

import gc

import pytest

from posguard.logs.rarely import rarely_collected


@pytest.fixture(autouse=True)
def threshold():
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_it_is_raised_as_long_as_one_asks_for_it(threshold):
    first, second = rarely_collected(), rarely_collected()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] > threshold[0]
    second.__exit__(None, None, None)
    assert gc.get_threshold() == threshold


def test_an_error_puts_it_back(threshold):
    with pytest.raises(ValueError, match="no"), rarely_collected():
        raise ValueError("no")
    assert gc.get_threshold() == threshold


def test_a_collector_that_is_switched_off_stays_off():
    gc.set_threshold(0)
    with rarely_collected():
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold()[0] == 0
