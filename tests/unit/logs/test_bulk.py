"""What is changed for making rows is what it was once the last who asked for it is done."""

import gc
import sys

import pytest

from posguard.logs.bulk import many_rows


def now():
    return gc.get_threshold(), sys.getswitchinterval()


@pytest.fixture(autouse=True)
def before():
    found = now()
    yield found
    gc.set_threshold(*found[0])
    sys.setswitchinterval(found[1])


def test_it_lasts_as_long_as_one_asks_for_it(before):
    first, second = many_rows(), many_rows()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert now()[0][0] > before[0][0]
    assert now()[1] < before[1]
    second.__exit__(None, None, None)
    assert now() == before


def test_an_error_puts_it_back(before):
    with pytest.raises(ValueError, match="no"), many_rows():
        raise ValueError("no")
    assert now() == before


def test_a_collector_that_is_switched_off_stays_off():
    gc.set_threshold(0)
    with many_rows():
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold()[0] == 0
