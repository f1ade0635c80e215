"""Wait for something, or watch that it stays true, in an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def until(come_about: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is true. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not come_about():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.001)


async def stays(true: Callable[[], bool], seconds: float) -> None:
    """Assert that something is true for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                assert true()
                await asyncio.sleep(0.001)
