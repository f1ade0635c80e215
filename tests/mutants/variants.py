"""Variants of the reference: they keep every promise, and do otherwise what no requirement says. No check blames them.

`@variant` registers a function that patches the reference in this process before it starts, as a fault does.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from tests.mutants.mutant import Mutant, patch

from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.allocate import Allocator, FreeList
from lbproof_reference.controller.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof_reference.controller.allocate import AddressRequest
    from lbproof_reference.controller.workqueue import Item

VARIANTS: dict[str, Mutant] = {}
"""All registered variants."""
_WINDOW = 64
"""Free addresses from which the next one is drawn."""
_LONGEST_SECONDS = 0.15
"""Longest delay of a decision; eight are made at a time."""


def variant(function: Callable[[], None]) -> Callable[[], None]:
    """Register the decorated function."""
    name = function.__name__.replace("_", "-")
    VARIANTS[name] = Mutant(name=name, cases=(), text=function.__doc__ or "", apply=function)
    return function


@variant
def takes_all_in_any_order() -> None:
    """Addresses are drawn from all that are free, pools from those of no order, Services from those that wait."""
    draw = random.Random()  # noqa: S311 - no secret
    reconcile, get = controller.Controller._reconcile, WorkQueue.get  # noqa: SLF001 - patched below

    def eligible(self: Allocator, request: AddressRequest) -> list[str]:
        scoped = [name for _, name in self._for_some if self.allows(name, request)]
        return [*scoped, *draw.sample(list(self._for_all), len(self._for_all))]

    def following(self: FreeList) -> int | None:
        while len(self._returned) < _WINDOW and (number := next(self._unused, None)) is not None:
            self._used = number
            self._returned.append(number)
        return self._returned.pop(draw.randrange(len(self._returned))) if self._returned else None

    async def some(self: WorkQueue) -> Item:
        self._queue._queue.rotate(draw.randrange(self._queue.qsize() or 1))  # type: ignore[attr-defined] # noqa: SLF001 - its deque
        return await get(self)

    async def later(self: controller.Controller, key: str) -> None:
        await asyncio.sleep(draw.uniform(0, _LONGEST_SECONDS))
        await reconcile(self, key)

    patch(Allocator, "_eligible", eligible)
    patch(FreeList, "_next", following)
    patch(WorkQueue, "get", some)
    patch(controller.Controller, "_reconcile", later)
