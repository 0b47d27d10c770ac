"""Several requests at the same time."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def all_at_once[T](calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all calls and return their results in order; the first that fails stops the others.

    Raises what that first one raised, not a group of it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
