"""Waiting for a condition, with a deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable


class TooSlowError(Exception):
    """What was waited for did not come; ``what`` names it."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what}: not within {seconds:g} s")
        self.what = what
        self.seconds = seconds


async def ticks(within_s: float, what: str, *, pause_s: float = 0.1) -> AsyncIterator[None]:
    """Tick until the caller leaves the loop.

    Raises:
        TooSlowError: ``within_s`` seconds are over.
    """
    ends_at = asyncio.get_running_loop().time() + within_s
    while asyncio.get_running_loop().time() < ends_at:
        yield
        await asyncio.sleep(pause_s)
    raise TooSlowError(what, within_s)


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float, what: str) -> None:
    """Wait until a condition holds.

    Raises:
        TooSlowError: it did not within ``within_s`` seconds.
    """
    async for _ in ticks(within_s, what, pause_s=0.05):
        if await condition():
            return
