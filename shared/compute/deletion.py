"""Deleting a resource and waiting until it is really gone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.compute.errors import Conflict, TimedOut, classified

if TYPE_CHECKING:
    from azure.core.polling import AsyncLROPoller

#: A deletion takes seconds; one that takes longer than this is looked at by a later try.
DELETE_TIMEOUT_S = 60.0


async def delete_until_gone(
    resource_id: str,
    begin: "Callable[[], Awaitable[AsyncLROPoller[None]]]",
    is_there: Callable[[], Awaitable[bool]],
) -> None:
    """Delete a resource and wait for it.

    Raises `TimedOut` when it takes longer than 60 s, `Conflict` when it is there all the same, and other
    `ComputeError`. Trying again is safe.
    """
    try:
        with classified():
            async with asyncio.timeout(DELETE_TIMEOUT_S):
                poller = await begin()
                await poller.result()
    except TimeoutError as late:
        raise TimedOut("DeletionTakesLong", f"{resource_id} is still being deleted") from late
    if await is_there():
        raise Conflict("StillThere", f"the deletion of {resource_id} succeeded, but it is still there")
