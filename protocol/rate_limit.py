"""The token bucket behind every limit, and buckets per address in bounded memory. Time is an argument."""

from __future__ import annotations

from collections import OrderedDict


class TokenBucket:
    """Allows `burst` at once and `per_second` in the long run; full at first."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._updated_s = 0.0

    def take(self, amount: float, now_s: float) -> bool:
        """Spend `amount`; False, and nothing is spent, when there is less."""
        elapsed_s = max(0.0, now_s - self._updated_s)
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._per_second)
        self._updated_s = now_s
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True


class AddressLimiter:
    """One bucket per address. With more than `max_addresses` the one unseen for longest is forgotten."""

    def __init__(self, burst: float, per_second: float, *, max_addresses: int = 4096) -> None:
        self._burst = burst
        self._per_second = per_second
        self._max_addresses = max_addresses
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now_s: float, amount: float = 1.0) -> bool:
        """Spend from the bucket of `address`; False when it is empty."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._burst, self._per_second)
            if len(self._buckets) > self._max_addresses:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket.take(amount, now_s)
