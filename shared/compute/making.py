"""A resource in the making: the PUT that asks for it, and plain GETs until it has ended.

What the GET says is the truth, whatever became of the PUT's answer. Nothing here waits for the SDK's poller,
and while a guest is held nothing sleeps through a Retry-After.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.compute.errors import (
    ComputeError,
    Conflict,
    NotFound,
    Throttled,
    TimedOut,
    Unavailable,
    classified,
)

if TYPE_CHECKING:
    from azure.core.polling import AsyncLROPoller

#: Where no guest waits and a throttled answer does not say how long to wait.
THROTTLED_PAUSE_MS = 5_000

#: How far ahead of Azure's the app's clock may be. NTP keeps both to well under a second. To be generous
#: is safe: names carry the generation, so an older resource of this name is of this very generation.
CLOCK_TOLERANCE_MS = 5_000

#: For the one look at a failed operation.
EXPLAIN_TIMEOUT_S = 5.0

STALE = "stale"
"""The name was taken: what was seen is an older resource, and no new one was made."""

OPERATION_FAILED = "operation_failed"
"""Azure accepted the request and then failed; `explain` learns why."""

_FAILED = frozenset({"Failed", "Canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When a capture counts, and whether a guest is held meanwhile.

    ``not_before`` and ``deadline`` are ms since the epoch, as ``clock`` gives them; ``pause`` takes seconds.
    """

    held: bool
    not_before: int
    deadline: int
    clock: Callable[[], int]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class FailedOperation:
    """An operation that Azure accepted and then ended as failed; `explain` asks for its reason."""

    resource_id: str
    poller: "AsyncLROPoller[Any]"


async def explain(failed: FailedOperation) -> ComputeError | None:
    """Ask Azure why an operation failed; None when it says that it did not.

    Bounded by 5 s. Not for the freeze window: the reason changes nothing, and a guest waits.
    """
    try:
        with classified():
            async with asyncio.timeout(EXPLAIN_TIMEOUT_S):
                await failed.poller.result()
    except TimeoutError:
        return TimedOut("NoAnswer", f"no reason was given for {failed.resource_id}")
    except ComputeError as reason:
        return reason
    return None


class NotMade(Exception):
    """The resource ended as of no use. ``error`` is a stable code, ``detail`` a sentence."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(f"{error}: {detail}")
        self.error = error
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a resource is: its provisioning state, and when (ms since the epoch) Azure says it was made."""

    state: str
    created_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests[R]:
    """How a resource is asked for, looked at and judged; ``begin`` and ``get`` raise `ComputeError`."""

    begin: "Callable[[], Awaitable[AsyncLROPoller[Any]]]"
    get: Callable[[], Awaitable[R]]
    progress: Callable[[R], Progress | None]


class Making[R]:
    """Sends one PUT and looks until the resource has ended.

    Attributes:
        put_sent_at: ms since the epoch; 0 while nothing was sent.
        failed: the operation, once Azure ended it as failed and its URL is known.

    """

    def __init__(
        self, resource_id: str, requests: Requests[R], window: Window, *, poll_interval_s: float
    ) -> None:
        self._resource_id = resource_id
        self._requests = requests
        self._window = window
        self._poll_interval_s = poll_interval_s
        self._poller: AsyncLROPoller[Any] | None = None
        self._conflict: Conflict | None = None
        self.put_sent_at = 0
        self.failed: FailedOperation | None = None

    async def ended(self) -> tuple[R, int]:
        """Make the resource; give it as it succeeded, and its `created_at`. The deadline is the caller's.

        Raises `NotMade` when it ended otherwise, and `ComputeError`.
        """
        await self._put()
        while (seen := await self._look()) is None:
            await self._window.pause(self._poll_interval_s)
        return seen

    async def _put(self) -> None:
        """Send the PUT. A lost answer is no failure: what became of the request is seen by looking.

        Raises `ComputeError` for a refusal, and when a pause is asked for that a held guest cannot wait for.
        """
        self.put_sent_at = self.put_sent_at or self._window.clock()
        try:
            self._poller = await self._requests.begin()
        except Conflict as conflict:
            # An earlier PUT of this name may be what is in the way.
            self._conflict = conflict
        except (Throttled, Unavailable) as busy:
            await self._bear(busy)

    async def _look(self) -> tuple[R, int] | None:
        """Look at the resource once; None means that it has to be looked at again."""
        try:
            resource = await self._requests.get()
        except NotFound:
            await self._absent()
            return None
        except (Throttled, Unavailable) as busy:
            await self._bear(busy)
            return None
        created_at = self._judge(self._requests.progress(resource))
        return None if created_at is None else (resource, created_at)

    async def _absent(self) -> None:
        """Decide about a resource that is not there: an accepted one will come, a lost PUT is repeated."""
        if self._conflict is not None:
            raise self._conflict
        if self._poller is None:
            await self._put()

    async def _bear(self, busy: Throttled | Unavailable) -> None:
        """Wait as long as the service asks for, unless a guest would have to wait too: then give up."""
        if isinstance(busy, Unavailable) and busy.retry_after_ms is None:
            return
        if self._window.held:
            raise busy
        await self._window.pause((busy.retry_after_ms or THROTTLED_PAUSE_MS) / 1000)

    def _judge(self, progress: Progress | None) -> int | None:
        if progress is None:
            return None
        if progress.state in _FAILED:
            if self._poller is not None:
                self.failed = FailedOperation(self._resource_id, self._poller)
            raise NotMade(OPERATION_FAILED, f"it is in state {progress.state}")
        if progress.state != "Succeeded" or progress.created_at is None:
            return None
        if progress.created_at < self._window.not_before - CLOCK_TOLERANCE_MS:
            age = self._window.not_before - progress.created_at
            raise NotMade(STALE, f"what has this name was made {age} ms before it was asked for")
        return progress.created_at
