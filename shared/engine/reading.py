"""The use cases of somebody who looks: a run, a VM of it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from shared.engine.group_views import group_view, groups_view, mark_of, mark_view
from shared.engine.timeline_views import timeline_view
from shared.engine.views import moment, pending_view, run_view, saga_view
from shared.saga.state import SagaState
from shared.saga.timeline import timeline_of
from shared.storage.errors import GroupNotFound, SagaNotFound, UnknownSchema, UnreadableSaga
from shared.storage.groups import GroupTable
from shared.storage.ports import ReloadableSagas
from shared.storage.run_records import RunEntry
from shared.storage.runs import RunTable
from shared.storage.selections import SelectionTable

#: A saga that goes on must be read to know its phase; more than this many are only said to be running.
PHASES_AT_MOST = 200
_AT_ONCE = 8


class VmNotInRun(Exception):
    """The run has no such VM."""

    def __init__(self, run_id: str, vm: str) -> None:
        super().__init__(f"run {run_id} has no VM {vm}")
        self.run_id = run_id
        self.vm = vm


class VmNameNotUnique(Exception):
    """The run has several VMs of this name, in different groups; ``sagas`` are their sagas' ids."""

    def __init__(self, run_id: str, vm: str, sagas: tuple[str, ...]) -> None:
        super().__init__(f"run {run_id} has {len(sagas)} VMs named {vm}: ask by saga, {', '.join(sagas)}")
        self.run_id = run_id
        self.vm = vm
        self.sagas = sagas


class Reading:
    """Shows runs and sagas as they are stored: a copy that this process keeps may be long out of date."""

    def __init__(
        self,
        runs: RunTable,
        selections: SelectionTable,
        sagas: ReloadableSagas,
        groups: GroupTable,
    ) -> None:
        self._runs = runs
        self._selections = selections
        self._groups = groups
        self._sagas = sagas

    async def run(self, run_id: str) -> dict[str, Any]:
        """Show a run and its VMs.

        Raises:
            RunNotFound: there is no such run.
        """
        record = await self._selections.with_unread(await self._runs.get(run_id))
        entries = [entry async for entry in self._runs.entries(run_id)]
        groups = groups_view(record, entries, await self._groups.of_record(record))
        return run_view(record, entries, await self._phases(entries)) | {"groups": groups}

    async def vm(self, run_id: str, vm: str) -> dict[str, Any]:
        """Show a VM of a run, by its saga's id or by its name: state, evidence, history.

        Raises:
            RunNotFound: there is no such run.
            VmNotInRun: the run has no such VM.
            VmNameNotUnique: the run has more than one VM of that name.
        """
        record = await self._runs.get(run_id)
        entry = await self._entry(run_id, vm)
        try:
            stored = await self._sagas.reload(entry.saga_id)
        except SagaNotFound:
            return pending_view(run_id, entry)
        history = await self._sagas.history(entry.saga_id)
        times = {"run_created_at": moment(record.created_at)} | timeline_view(
            timeline_of(history), record.created_at
        )
        group = await self._group_of(stored.state)
        return saga_view(stored.state, history) | {"timeline": times, "group": group}

    async def _group_of(self, state: SagaState) -> dict[str, Any] | None:
        """Show the group of a saga, and what its recovery point says, or would say, of it."""
        member = state.spec.group
        if member is None:
            return None
        try:
            record = await self._groups.get(state.spec.run_id, member.name)
        except GroupNotFound:
            return None
        return group_view(record) | {"recovery_point": mark_view(mark_of(state, record))}

    async def _entry(self, run_id: str, vm: str) -> RunEntry:
        found = [
            entry
            async for entry in self._runs.entries(run_id)
            if entry.saga_id == vm
            or (not entry.retried and entry.vm_id.rpartition("/")[2].lower() == vm.lower())
        ]
        if not found:
            raise VmNotInRun(run_id, vm)
        if len(found) > 1:
            raise VmNameNotUnique(run_id, vm, tuple(entry.saga_id for entry in found))
        return found[0]

    async def _phases(self, entries: Sequence[RunEntry]) -> dict[str, str]:
        places = asyncio.Semaphore(_AT_ONCE)

        async def phase(saga_id: str) -> tuple[str, str]:
            async with places:
                try:
                    return saga_id, (await self._sagas.reload(saga_id)).state.phase.value
                except SagaNotFound:
                    return saga_id, "pending"
                except (UnknownSchema, UnreadableSaga):  # a newer version of the app saved it
                    return saga_id, "running"

        going_on = [entry.saga_id for entry in entries if not entry.outcome]
        known = dict(await asyncio.gather(*(phase(saga) for saga in going_on[:PHASES_AT_MOST])))
        return known | dict.fromkeys(going_on[PHASES_AT_MOST:], "running")
