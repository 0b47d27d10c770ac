"""A small client of the app's public HTTP API."""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from local.functions_host.keys import HEADER as KEY
from local.stack.waiting import ticks


class ApiError(Exception):
    """The app answered with a problem; ``problem`` is its RFC 9457 document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status}: {problem.get('detail') or problem.get('title') or problem}")
        self.status = status
        self.problem = problem


class Api:
    """The app's HTTP API at ``base`` (scheme, host and port)."""

    def __init__(self, base: str, *, key: str = "") -> None:
        """Take the address, and the access key to call it with, if it asks for one."""
        self.base = base
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connections."""
        self._session = aiohttp.ClientSession(headers={KEY: self._key} if self._key else None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        """Call a path below the base; give status, headers and JSON.

        Raises:
            ApiError: the app answered 400 or more.
        """
        assert self._session is not None
        async with self._session.request(method, self.base + path, json=body, headers=headers) as answer:
            text = await answer.text()
            content = await answer.json(content_type=None) if text else None
            if answer.status >= 400:
                raise ApiError(answer.status, content or {})
            return answer.status, answer.headers, content

    async def start_run(self, body: Mapping[str, Any], key: str = "") -> str:
        """Start a run; give its id."""
        _, _, answer = await self.call("POST", "/api/runs", body, {"Idempotency-Key": key} if key else None)
        return str(answer["run"])

    async def run(self, run_id: str) -> dict[str, Any]:
        """Show a run."""
        return dict((await self.call("GET", f"/api/runs/{run_id}"))[2])

    async def vm(self, run_id: str, vm: str) -> dict[str, Any]:
        """Show a VM of a run."""
        return dict((await self.call("GET", f"/api/runs/{run_id}/vms/{vm}"))[2])

    async def cancel(self, run_id: str) -> None:
        """Cancel a run."""
        await self.call("POST", f"/api/runs/{run_id}/cancel")

    async def watch(self, run_id: str, vm: str, *, within_s: float) -> AsyncIterator[dict[str, Any]]:
        """Look at a VM of a run again and again, until it is done.

        Raises:
            TooSlowError: it was not within ``within_s`` seconds.
        """
        async for _ in ticks(within_s, f"{vm} in run {run_id}"):
            view = await self.vm(run_id, vm)
            yield view
            if view["phase"] == "done":
                return

    async def vm_ended(self, run_id: str, vm: str, *, within_s: float) -> dict[str, Any]:
        """Wait until a VM of a run is done, asking seldom, so as not to be in the way; show it.

        Raises:
            TooSlowError: it was not within ``within_s`` seconds.
        """
        async for _ in ticks(within_s, f"{vm} in run {run_id}", pause_s=0.5):
            view = await self.vm(run_id, vm)
            if view["phase"] == "done":
                return view
        raise AssertionError  # ticks raises first

    async def ended(self, run_id: str, *, within_s: float) -> dict[str, Any]:
        """Wait until all VMs of a run have ended; show the run.

        Raises:
            TooSlowError: they had not within ``within_s`` seconds.
        """
        async for _ in ticks(within_s, f"run {run_id}"):
            view = await self.run(run_id)
            if view["state"] == "ended":
                return view
        raise AssertionError  # ticks raises first
