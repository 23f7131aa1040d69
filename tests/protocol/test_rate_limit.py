"""Token buckets with time as an argument."""

from __future__ import annotations

from protocol.rate_limit import AddressLimiter, TokenBucket


def test_burst_then_rate() -> None:
    bucket = TokenBucket(burst=3, per_second=2)
    assert [bucket.take(1, 0.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(1, 0.4)
    assert bucket.take(1, 0.5)
    assert not bucket.take(1, 0.9)


def test_never_more_than_the_burst() -> None:
    bucket = TokenBucket(burst=3, per_second=2)
    assert not bucket.take(3.1, 1000.0)
    assert bucket.take(3, 1000.0)


def test_time_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(burst=1, per_second=1)
    assert bucket.take(1, 10.0)
    assert not bucket.take(1, 5.0)


def test_addresses_are_apart() -> None:
    limiter = AddressLimiter(burst=1, per_second=0.001)
    assert limiter.take("a", 0.0)
    assert limiter.take("b", 0.0)
    assert not limiter.take("a", 1.0)


def test_table_of_addresses_is_bounded() -> None:
    limiter = AddressLimiter(burst=1, per_second=0.001, max_addresses=100)
    limiter.take("regular", 0.0)
    for number in range(10_000):
        limiter.take(f"stranger {number}", 0.0)
        assert not limiter.take("regular", 0.0)  # who comes often is not forgotten
    assert len(limiter) == 100
