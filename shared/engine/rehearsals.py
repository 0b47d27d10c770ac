"""The use case of somebody who looks at a rehearsal: what was held in each VM, and for how long."""

import asyncio
from typing import Any

from shared.engine.reading import Reading
from shared.engine.run_settings import is_rehearsal
from shared.engine.views import rehearsal_view
from shared.saga.problems import problem_of
from shared.storage.errors import RunNotFound, SagaNotFound, UnknownSchema, UnreadableSaga
from shared.storage.ports import ReloadableSagas
from shared.storage.runs import RunTable

#: The first VMs of a rehearsal are shown with all that was held in them; of the others href leads to it.
SHOWN_AT_MOST = 200
_AT_ONCE = 8


class Rehearsals:
    """Shows rehearsals: a run that is none is not found here."""

    def __init__(self, runs: RunTable, sagas: ReloadableSagas, reading: Reading) -> None:
        self._runs = runs
        self._sagas = sagas
        self._reading = reading

    async def view(self, run_id: str) -> dict[str, Any]:
        """Show a rehearsal and how its VMs were held.

        Raises:
            RunNotFound: there is no such run, or it is no rehearsal.
        """
        if not is_rehearsal(await self._runs.get(run_id)):
            raise RunNotFound(run_id)
        view = await self._reading.run(run_id)
        places = asyncio.Semaphore(_AT_ONCE)

        async def shown(number: int, vm: dict[str, Any]) -> dict[str, Any]:
            async with places:
                known = number < SHOWN_AT_MOST
                return vm | (await self._held(vm["saga"]) if known else _UNKNOWN)

        vms = await asyncio.gather(*(shown(number, vm) for number, vm in enumerate(view["vms"])))
        return view | {"vms": list(vms)}

    async def _held(self, saga_id: str) -> dict[str, Any]:
        try:
            state = (await self._sagas.reload(saga_id)).state
        except (SagaNotFound, UnknownSchema, UnreadableSaga):
            return _UNKNOWN
        problem = problem_of(state)
        return {"rehearsal": rehearsal_view(state), "what_to_do": problem.what_to_do if problem else None}


_UNKNOWN: dict[str, Any] = {"rehearsal": None, "what_to_do": None}
