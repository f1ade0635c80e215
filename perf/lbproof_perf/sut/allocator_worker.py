"""The reference's allocator by itself: seconds to grant every address of a pool, and to take back and grant again.

A program of its own, since the benchmarks are no part of the reference and import nothing of it elsewhere; the
benchmark `allocator` starts it. `python -m lbproof_perf.sut.allocator_worker ADDRESSES CHURN WORK` prints a JSON
object: `seconds_per_address` (a grant), `churn_seconds_per_address` (a release and a grant, `CHURN` of them at most,
spread over a full pool) and `each` (every grant of one pool), all in processor time, so that a stall of the machine is
not the allocator's. Small pools are filled again and again, each time in a new allocator, until `WORK` addresses were
granted: each size has as long.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise

from lbproof_reference.controller.allocate import AddressRequest, Allocator
from lbproof_reference.pools import AddressRange, Pool

FIRST = (10 << 24) + 1
"""10.0.0.1: the first address of the pool, as a number."""
_STRIDE = 7919
"""A prime, so that those who leave are spread over the pool and none is met twice."""


def allocator(count: int) -> Allocator:
    """An allocator with one pool of so many IPv4 addresses, all free."""
    return Allocator([Pool(name="pool", ranges=(AddressRange(family=4, first=FIRST, last=FIRST + count - 1),))])


def requests(count: int, generation: int) -> list[AddressRequest]:
    """The requests of so many Services, of names that no other generation has."""
    return [AddressRequest(key=f"default/service-{generation}-{at}") for at in range(count)]


def measured(count: int, churn: int, work: int) -> dict[str, object]:
    """One repetition: so many allocators of `count` addresses one after the other that `work` are granted at least."""
    first, others = requests(count, 0), requests(min(count, churn), 1)
    leaving = [first[at * _STRIDE % count].key for at in range(len(others))]
    allocators = max(1, work // count)
    clock, grant_seconds, churn_seconds = time.thread_time, 0.0, 0.0
    for _ in range(allocators):
        made = allocator(count)
        began = clock()
        for request in first:
            made.allocate(request)
        full = clock()
        for key, request in zip(leaving, others, strict=True):
            made.release(key)
            made.allocate(request)
        grant_seconds += full - began
        churn_seconds += clock() - full
    made, moments = allocator(count), [clock()]
    for request in first:
        made.allocate(request)
        moments.append(clock())
    return {
        "seconds_per_address": grant_seconds / allocators / count,
        "churn_seconds_per_address": churn_seconds / allocators / len(others),
        "each": [after - before for before, after in pairwise(moments)],  # reading the clock, some 0.5 µs, is in it
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(*map(int, sys.argv[1:]))) + "\n")
