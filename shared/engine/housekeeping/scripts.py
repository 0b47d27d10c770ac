"""The room of delivered scripts: each run stores its scripts again, so an old blob is nobody's."""

from shared.engine.housekeeping.ports import Scripts
from shared.engine.housekeeping.rooms import Done
from shared.storage.errors import RunNotFound
from shared.storage.runs import RunTable


class OldScripts:
    """Scripts that no run has stored since the cutoff."""

    name = "scripts"

    def __init__(self, scripts: Scripts, runs: RunTable) -> None:
        self._scripts = scripts
        self._runs = runs

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Delete the old scripts of a page; one that is stored again meanwhile stays.

        None, while a run goes on that is older still.
        """
        del now
        if await self._an_old_run_goes_on(cutoff):
            return Done()
        page, following = await self._scripts.listed(after)
        removed = 0
        for script in page:
            if script.stored_at < cutoff:
                removed += await self._scripts.delete(script)
        return Done(following, {"scripts": removed})

    async def _an_old_run_goes_on(self, cutoff: int) -> bool:
        async for run_id in self._runs.active():
            try:
                if (await self._runs.get(run_id)).created_at < cutoff:
                    return True
            except RunNotFound:  # it is just being made, or was broken off
                continue
        return False
