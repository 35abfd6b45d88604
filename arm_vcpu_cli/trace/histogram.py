"""Durations in constant memory: a histogram whose buckets grow with the value, like those of HdrHistogram.

Each value below 64 ns has its own bucket. Every power of two above is divided into 32 buckets, so that the width of a
bucket is at most 1/32 of its lower end, and its middle at most 1/64 (1.6 %) away from any value in it. Count, sum,
minimum and maximum are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

SUB_BITS: Final = 5
"""log2 of the number of buckets in a power of two."""
PRECISION: Final = 1 / (2 << SUB_BITS)
"""The maximum relative error of a quantile."""
_EXACT: Final = 2 << SUB_BITS
_SUB_MASK: Final = (1 << SUB_BITS) - 1
_BITS: Final = SUB_BITS + 1


def bucket_of(value: int) -> int:
    """Return the number of the bucket for ``value``, 0 or more."""
    shift = value.bit_length() - _BITS
    return value if shift <= 0 else (shift << SUB_BITS) + (value >> shift)


def bounds_of(bucket: int) -> tuple[int, int]:
    """Return the least value of a bucket, and the least above it."""
    if bucket < _EXACT:
        return bucket, bucket + 1
    shift = (bucket >> SUB_BITS) - 1
    mantissa = (bucket & _SUB_MASK) | (1 << SUB_BITS)
    return mantissa << shift, (mantissa + 1) << shift


class Durations:
    """A collection of durations in nanoseconds."""

    __slots__ = ("_buckets", "count", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = self.total = self.maximum = 0
        self.minimum = 0
        """The shortest; 0 if there are none."""

    def add(self, value: int) -> None:
        """Add a duration, 0 or above."""
        if not self.count or value < self.minimum:
            self.minimum = value
        if value > self.maximum:
            self.maximum = value
        self.count += 1
        self.total += value
        # As in bucket_of: this is on the exit path of a guest.
        shift = value.bit_length() - _BITS
        bucket = value if shift <= 0 else (shift << SUB_BITS) + (value >> shift)
        buckets = self._buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def merge(self, other: Durations) -> None:
        """Add all durations of ``other``."""
        # Copy in one step: the guest's thread may add more while a table is made.
        added = other._buckets.copy()
        if not added:
            return
        self.minimum = min(self.minimum, other.minimum) if self.count else other.minimum
        self.maximum = max(self.maximum, other.maximum)
        self.count += sum(added.values())
        self.total += other.total
        for bucket, count in added.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count

    def quantile(self, fraction: float) -> int:
        """Return the value that ``fraction`` of all do not exceed (nearest rank), to :data:`PRECISION`; 0 if there are
        none."""
        if not self.count:
            return 0
        left = max(1, math.ceil(fraction * self.count))
        if left >= self.count:
            return self.maximum
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                low, high = bounds_of(bucket)
                return min(max((low + high - 1) // 2, self.minimum), self.maximum)
        return self.maximum

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 if there are none."""
        return self.total / self.count if self.count else 0.0

    def by_power(self) -> Mapping[int, int]:
        """Return counts by power of two: n stands for values from 2**n to 2**(n+1) - 1, and -1 for 0."""
        powers: dict[int, int] = {}
        for bucket, count in sorted(self._buckets.items()):
            power = bounds_of(bucket)[0].bit_length() - 1
            powers[power] = powers.get(power, 0) + count
        return powers
