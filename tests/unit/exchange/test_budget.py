import random

import pytest

from posguard.exchange.budget import Budget, shared_budget


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_what_fits_is_sent_at_once_and_the_rest_waits_for_the_window():
    clock = Clock()
    budget = Budget(2400, 60.0, share=0.25, clock=clock)
    assert budget.allowance == 600
    assert [budget.reserve(100) for _ in range(6)] == [0.0] * 6
    assert budget.reserve(1) == pytest.approx(60.0)
    clock.now += 60
    assert budget.reserve(500) == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_no_window_ever_holds_more_than_the_share(seed):
    chance = random.Random(seed)
    clock = Clock()
    budget = Budget(2400, 60.0, share=0.25, clock=clock)
    sent = []
    for _ in range(400):
        clock.now += chance.choice([0, 0, 0.1, 3, 20])
        weight = chance.choice([1, 5, 40])
        sent.append((clock.now + budget.reserve(weight), weight))
    assert [at for at, _ in sent] == sorted(at for at, _ in sent), "first come, first served"
    for at, _ in sent:
        assert sum(weight for when, weight in sent if at - 60 + 1e-6 < when <= at) <= 600


def test_a_request_larger_than_the_share_waits_for_an_empty_window_only():
    clock = Clock()
    budget = Budget(100, 60.0, share=0.1, clock=clock)
    assert budget.reserve(40) == 0.0
    assert budget.reserve(40) == pytest.approx(60.0)


def test_a_block_holds_everything_and_says_why():
    clock = Clock()
    budget = Budget(100, 60.0, clock=clock)
    budget.block(30, "the venue asked for a pause")
    budget.block(10, "a shorter one changes nothing")
    assert budget.blocked() == (30.0, "the venue asked for a pause")
    assert budget.reserve(1) == 30.0
    clock.now += 31
    assert budget.blocked()[0] == 0.0


def test_an_unlimited_budget_never_waits():
    budget = Budget.unlimited()
    budget.block(100, "x")
    assert [budget.reserve(1000) for _ in range(50)] == [0.0] * 50
    assert budget.blocked()[0] == 0.0


def test_gateways_to_one_address_share_one_budget():
    def of(address, share=0.25):
        return shared_budget("binance", address, limit=2400, window=60.0, share=share)

    assert of("https://a.example") is of("https://a.example")
    assert of("https://a.example") is not of("https://b.example")
