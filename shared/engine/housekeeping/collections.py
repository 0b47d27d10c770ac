"""The room of restore-point collections: one goes when its last point has gone.

Azure deletes a collection with all that is in it, so no run may be about to make a point there. A run is
among the active ones before it asks Azure for anything, and until a sweep after its end. So first the
collection is seen empty, then no active run has its VM, and at once it is deleted: a run that begins after
that finds no collection, and makes a new one.
"""

from shared.compute.collections import OwnCollection
from shared.engine.housekeeping.rooms import Done
from shared.engine.ports import Compute
from shared.logs import logger
from shared.saga.names import saga_id
from shared.storage.errors import PointNotFound, RunNotFound, UnusableKey
from shared.storage.points import PointTable, Scope
from shared.storage.runs import RunTable

_log = logger("housekeeping")

_BEHIND = "\n"


class EmptyCollections:
    """Collections of ours in which nothing is left. Those that another installation made are left alone."""

    name = "collections"

    def __init__(self, points: PointTable, runs: RunTable, compute: Compute) -> None:
        self._points = points
        self._runs = runs
        self._compute = compute

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Delete the empty ones among a page of a resource group's.

        Raises:
            ComputeError: Azure could not be asked, or did not do it.
        """
        del now, cutoff
        scopes = {_text(scope): scope for scope in await self._points.scopes()}
        place, _, link = after.partition(_BEHIND)
        waiting = sorted(name for name in scopes if name > place or (name == place and link))
        if not waiting:
            return Done()
        scope = scopes[waiting[0]]
        page, following = await self._compute.list_collections(
            scope.subscription_id, scope.resource_group, link if waiting[0] == place else ""
        )
        removed = 0
        for collection in page:
            removed += await self._delete_if_empty(collection)
        more = following or len(waiting) > 1
        return Done(f"{waiting[0]}{_BEHIND}{following}" if more else "", {"collections": removed})

    async def _delete_if_empty(self, collection: OwnCollection) -> bool:
        if not await self._compute.is_empty(collection.resource_id):
            return False
        if not await self._is_ours(collection) or await self._is_in_a_run(collection.vm_id):
            return False
        if not await self._compute.is_empty(collection.resource_id):
            return False
        if await self._is_in_a_run(collection.vm_id):
            return False
        await self._compute.delete_collection(collection)
        _log.info("stillframe deleted an empty collection: %s", collection.resource_id)
        return True

    async def _is_ours(self, collection: OwnCollection) -> bool:
        """Whether the point that its tags are about is, or was until lately, in our catalogue."""
        try:
            await self._points.get(collection.saga_id)
        except (PointNotFound, UnusableKey):
            return False
        return True

    async def _is_in_a_run(self, vm_id: str) -> bool:
        async for run_id in self._runs.active():
            try:
                run = await self._runs.get(run_id)
            except RunNotFound:  # it is just being made: nobody knows of which VMs
                return True
            if run.selecting or await self._runs.has_entry(run_id, saga_id(run_id, vm_id)):
                return True
        return False


def _text(scope: Scope) -> str:
    return f"{scope.subscription_id.lower()}/{scope.resource_group.lower()}"
